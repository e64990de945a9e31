//! JSON text to [`Value`], strictly: no deep nesting, no name twice in one object, and an error that
//! says where it is, as line and column and as a JSON pointer.

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    kinds,
    problem::{FieldError, Problem},
};
use crate::limits::JSON_DEPTH_MAX;

/// Parses a whole body.
///
/// # Errors
/// A 400 that names the place.
pub(super) fn parse(text: &[u8]) -> Result<Value, Problem> {
    // Filled from the inside out, and only when something is wrong.
    let path = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let parsed = Strict { depth: 0, path: &path }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        let mut pointer = String::new();
        for segment in path.borrow().iter().rev() {
            push_pointer(&mut pointer, segment);
        }
        let (line, column) = (error.line(), error.column());
        let detail = if text.iter().all(u8::is_ascii_whitespace) {
            String::from("The body is empty; a JSON object was expected.")
        } else {
            format!("The body is not valid JSON: {error}.")
        };
        Problem::new(kinds::MALFORMED_JSON, detail)
            .errors(vec![FieldError::at(pointer, error.to_string())])
            .with("line", line)
            .with("column", column)
    })
}

/// Adds one reference token to a JSON pointer (RFC 6901, section 3).
pub(super) fn push_pointer(pointer: &mut String, segment: &str) {
    pointer.push('/');
    for character in segment.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// What a value is, for messages.
pub(super) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Longest part of a field's name that goes into an error.
const NAME_CHARS_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Strict<'p> {
    depth: usize,
    path: &'p RefCell<Vec<String>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(E::custom(format_args!("nested deeper than {JSON_DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(String::from(value)))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut values = Vec::new();
        loop {
            match sequence.next_element_seed(inside) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return Ok(Value::Array(values)),
                Err(error) => {
                    self.path.borrow_mut().push(values.len().to_string());
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if object.contains_key(&name) {
                self.path.borrow_mut().push(shorten(&name));
                return Err(A::Error::custom("the name stands twice in one object"));
            }
            match map.next_value_seed(inside) {
                Ok(value) => drop(object.insert(name, value)),
                Err(error) => {
                    self.path.borrow_mut().push(shorten(&name));
                    return Err(error);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

/// A name as an error may repeat it.
pub(super) fn shorten(name: &str) -> String {
    let mut short: String = name.chars().take(NAME_CHARS_MAX).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Value {
        parse(text.as_bytes()).unwrap_err().to_json()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let text = r#"{"a":[null,true,-1,2,0.5,"\u00e4\n"],"b":{}}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn a_syntax_error_says_where_it_is() {
        let problem = error("{\"data\": {\n  \"list\": [1, 2 3]}}");
        assert_eq!(problem["errors"][0]["pointer"], "/data/list/2");
        assert_eq!((&problem["line"], &problem["column"]), (&2.into(), &17.into()));
        assert_eq!(problem["status"], 400);
        assert!(error("").to_string().contains("empty"));
        assert!(error("{} x").to_string().contains("trailing"));
        assert!(error("{\"a\":1e999}").to_string().contains("out of range"));
    }

    #[test]
    fn a_name_that_stands_twice_is_an_error() {
        assert_eq!(error(r#"{"a":1,"a":2}"#)["errors"][0]["pointer"], "/a");
        assert_eq!(error(r#"{"x/y~":{"a":1,"a":2}}"#)["errors"][0]["pointer"], "/x~1y~0/a");
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_built() {
        let nest = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nest(JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(error(&nest(JSON_DEPTH_MAX + 1)).to_string().contains("nested deeper than 64"));
        assert_eq!(error(&nest(100_000))["status"], 400);
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_a_syntax_error() {
        assert_eq!(parse(b"{\"a\":\"\xff\"}").unwrap_err().to_json()["status"], 400);
    }
}
