//! Takes the fields of a JSON object one by one and collects everything that is wrong with them, so
//! that a caller mends a request once and not field by field.

use serde_json::{Map, Value};

use super::{
    json::{kind_of, push_pointer, shorten},
    problem::FieldError,
};
use crate::clock::UnixMs;

/// Errors of one request that are reported; the rest would not be read anyway.
pub(super) const ERRORS_MAX: usize = 20;

/// An object that is being taken apart.
pub(super) struct Fields<'e> {
    object: Map<String, Value>,
    at: String,
    errors: &'e mut Vec<FieldError>,
}

impl<'e> Fields<'e> {
    /// Begins with `value`, which stands at `at`. None, and an error, if it is no object.
    pub(super) fn of(value: Value, at: String, errors: &'e mut Vec<FieldError>) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self { object, at, errors }),
            other => {
                errors.push(FieldError::at(at, wrong_type(&other, "an object")));
                None
            }
        }
    }

    /// Notes that `name` is wrong.
    pub(super) fn error(&mut self, name: &str, detail: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            let mut pointer = self.at.clone();
            push_pointer(&mut pointer, name);
            self.errors.push(FieldError::at(pointer, detail));
        }
    }

    /// Takes a field. `null` is the same as leaving it out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text of at most `bytes_max` bytes.
    pub(super) fn text(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        match self.take(name)? {
            Value::String(text) if text.len() <= bytes_max => Some(text),
            Value::String(text) => {
                self.error(
                    name,
                    format!("has {} bytes, at most {bytes_max} are allowed", text.len()),
                );
                None
            }
            other => {
                self.error(name, wrong_type(&other, "a string"));
                None
            }
        }
    }

    /// Takes a text that must be there and not be blank.
    pub(super) fn required_text(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        if self.object.get(name).is_none_or(Value::is_null) {
            self.object.remove(name);
            self.error(name, "is missing; it is required");
            return None;
        }
        let text = self.text(name, bytes_max)?;
        if text.trim().is_empty() {
            self.error(name, "is blank; write something");
            return None;
        }
        Some(text)
    }

    /// Takes one of a few words.
    pub(super) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let found = match self.take(name)? {
            Value::String(text) => match words.iter().find(|(word, _)| *word == text) {
                Some((_, meaning)) => return Some(*meaning),
                None => format!("is \"{}\"", shorten(&text)),
            },
            other => format!("is {}", kind_of(&other)),
        };
        let expected: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.error(name, format!("{found}; expected one of {}", expected.join(", ")));
        None
    }

    /// Takes a moment.
    pub(super) fn moment(&mut self, name: &str) -> Option<UnixMs> {
        let text = self.text(name, 64)?;
        UnixMs::parse_rfc3339(&text)
            .map_err(|_| {
                self.error(
                    name,
                    format!(
                        "\"{}\" is no RFC 3339 time; write for example \"2026-01-31T09:30:00Z\"",
                        shorten(&text)
                    ),
                );
            })
            .ok()
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(object) => Some(object),
            other => {
                self.error(name, wrong_type(&other, "an object"));
                None
            }
        }
    }

    /// Takes an array of at most `items_max`.
    pub(super) fn array(&mut self, name: &str, items_max: usize) -> Option<Vec<Value>> {
        match self.take(name)? {
            Value::Array(items) if items.len() <= items_max => Some(items),
            Value::Array(items) => {
                let found = items.len();
                self.error(name, format!("has {found} items, at most {items_max} are allowed"));
                None
            }
            other => {
                self.error(name, wrong_type(&other, "an array"));
                None
            }
        }
    }

    /// Where the field `name` stands, and the list that its errors go to.
    pub(super) fn inside(&mut self, name: &str) -> (String, &mut Vec<FieldError>) {
        let mut pointer = self.at.clone();
        push_pointer(&mut pointer, name);
        (pointer, self.errors)
    }

    /// Notes everything that nobody took: a field that is accepted and ignored would be a lie.
    pub(super) fn finish(mut self, known: &[&str], later: &[&str]) {
        for (name, _) in std::mem::take(&mut self.object) {
            let short = shorten(&name);
            let detail = if later.contains(&name.as_str()) {
                String::from("is not supported yet by this version")
            } else if let Some(near) = nearest(&name, known) {
                format!("is not a known field; did you mean \"{near}\"?")
            } else {
                format!("is not a known field; known are {}", known.join(", "))
            };
            self.error(&short, detail);
        }
    }
}

/// "is a number; expected a string".
pub(super) fn wrong_type(found: &Value, expected: &str) -> String {
    format!("is {}; expected {expected}", kind_of(found))
}

/// The known name that `name` was probably meant to be: the same but for case and separators, or
/// within two edits.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    const CHARS_MAX: usize = 32;
    let fold = |text: &str| -> Vec<char> {
        text.chars()
            .take(CHARS_MAX)
            .filter(|character| character.is_alphanumeric())
            .flat_map(char::to_lowercase)
            .collect()
    };
    let folded = fold(name);
    let (distance, best) =
        known.iter().map(|known| (edits(&folded, &fold(known)), *known)).min_by_key(|(d, _)| *d)?;
    let enough = distance <= 2 && distance * 2 <= folded.len();
    enough.then_some(best)
}

/// Levenshtein's distance.
fn edits(left: &[char], right: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (count, from) in left.iter().enumerate() {
        let mut diagonal = count;
        let mut before = count + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(right) {
            let replaced = diagonal + usize::from(from != to);
            diagonal = *cell;
            before = replaced.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = count + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_guessed_and_a_strange_one_is_not() {
        let known = ["channel", "message", "targetId", "data"];
        for (name, meant) in [
            ("mesage", Some("message")),
            ("Channel", Some("channel")),
            ("target_id", Some("targetId")),
            ("dat", Some("data")),
            ("x", None),
            ("", None),
            ("completelyOther", None),
        ] {
            assert_eq!(nearest(name, &known), meant, "{name}");
        }
    }

    #[test]
    fn edits_are_counted() {
        let count = |left: &str, right: &str| {
            edits(&left.chars().collect::<Vec<_>>(), &right.chars().collect::<Vec<_>>())
        };
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", "abc"), 0);
        assert_eq!(count("abcd", "bcd"), 1);
    }

    #[test]
    fn all_errors_are_collected_with_their_pointers() {
        let mut errors = Vec::new();
        let value = serde_json::json!({"a": 1, "b": "x", "c": "later", "d": null, "e~": true});
        let mut fields = Fields::of(value, String::from("/0"), &mut errors).unwrap();
        assert_eq!(fields.text("a", 9), None);
        assert_eq!(fields.word("b", &[("y", 1), ("z", 2)]), None);
        assert_eq!(fields.required_text("d", 9), None);
        fields.finish(&["a", "b"], &["c"]);
        let found: Vec<_> = errors.iter().map(|error| format!("{error:?}")).collect();
        for (line, parts) in found.iter().zip([
            ["/0/a", "a number"],
            ["/0/b", "is \\\"x\\\"; expected one of"],
            ["/0/d", "missing"],
            ["/0/c", "not supported yet"],
            ["/0/e~0", "not a known field"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{line} {parts:?}");
        }
        assert_eq!(found.len(), 5);
    }
}
