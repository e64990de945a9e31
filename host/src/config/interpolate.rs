//! `${NAME}` and `${NAME:-default}` in the texts of the files.

use std::borrow::Cow;

use super::environment::Environment;

/// Why a text cannot be completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InterpolateError {
    /// There is no such variable, and no default.
    Missing(String),
    /// The text is not well formed.
    Malformed(&'static str),
}

/// `text` with its variables filled in. `$${` stands for `${`. A variable that is empty counts as
/// not set where there is a default, as in a shell.
pub(super) fn interpolate<'text>(
    text: &'text str,
    environment: &Environment,
) -> Result<Cow<'text, str>, InterpolateError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut complete = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            complete.push_str(before);
            complete.push_str("${");
            rest = after;
            continue;
        }
        complete.push_str(before);
        let Some((inside, behind)) = after.split_once('}') else {
            return Err(InterpolateError::Malformed(
                "a \"${\" has no \"}\"; write \"$${\" for the characters themselves",
            ));
        };
        complete.push_str(value_of(inside, environment)?);
        rest = behind;
    }
    complete.push_str(rest);
    Ok(Cow::Owned(complete))
}

fn value_of<'text>(
    inside: &'text str,
    environment: &'text Environment,
) -> Result<&'text str, InterpolateError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_variable_name(name) {
        return Err(InterpolateError::Malformed(
            "inside \"${…}\" stands the name of an environment variable (letters, digits, '_') and \
             perhaps \":-\" and a default; write \"$${\" for the characters themselves",
        ));
    }
    match (environment.get(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default),
        (None, None) => Err(InterpolateError::Missing(name.to_owned())),
    }
}

/// Whether `name` can be the name of an environment variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_with_their_values_or_defaults() {
        let environment = Environment::from_pairs([("A", "1"), ("EMPTY", "")]);
        for (text, expected) in [
            ("plain $ text {x}", "plain $ text {x}"),
            ("${A}", "1"),
            ("x${A}y${A}z", "x1y1z"),
            ("${A:-2}", "1"),
            ("${B:-2}", "2"),
            ("${B:-}", ""),
            ("${B:-https://x/y?z:-1}", "https://x/y?z:-1"),
            ("${EMPTY:-2}", "2"),
            ("${EMPTY}", ""),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("ä${A}ö", "ä1ö"),
        ] {
            assert_eq!(interpolate(text, &environment).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_told() {
        let environment = Environment::default();
        assert_eq!(
            interpolate("${NOPE}", &environment),
            Err(InterpolateError::Missing(String::from("NOPE")))
        );
        for malformed in ["${", "x${A", "${}", "${A B}", "${:-x}", "${1A}", "${ä}"] {
            let result = interpolate(malformed, &environment);
            assert!(matches!(result, Err(InterpolateError::Malformed(_))), "{malformed}");
        }
    }
}
