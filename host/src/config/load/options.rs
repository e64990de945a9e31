//! Options: TOML to JSON with the variables filled in, and merged from the general to the special.

use std::sync::Arc;

use serde_json::{Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::{
    document::Document,
    environment::Environment,
    fields::Fields,
    findings::{At, Findings},
    interpolate::{InterpolateError, interpolate},
    model::Object,
};

/// The options of a table, if the key is there and everything in it could be read.
pub(super) fn read(
    entry: &Fields<'_>,
    key: &str,
    title: &'static str,
    environment: &Environment,
    findings: &mut Findings,
) -> Option<Object> {
    let fields = entry.table(key, title, findings)?;
    Some(object(fields.table, fields.document, environment, findings))
}

fn object(
    table: &DeTable<'_>,
    document: &Document,
    environment: &Environment,
    findings: &mut Findings,
) -> Object {
    table
        .iter()
        .map(|(key, item)| {
            (key.get_ref().to_string(), value(item, document, environment, findings))
        })
        .collect()
}

fn value(
    item: &Spanned<DeValue<'_>>,
    document: &Document,
    environment: &Environment,
    findings: &mut Findings,
) -> Value {
    let wrong = |findings: &mut Findings, message: &str| {
        findings.wrong(&document.origin(item.span()), message);
        Value::Null
    };
    match item.get_ref() {
        DeValue::String(text) => {
            let text: &str = text;
            let origin = document.origin(item.span());
            fill_in(&At { value: text, origin }, environment, findings)
                .map_or(Value::Null, Value::String)
        }
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Value::Number(integer.into()),
            Err(_) => wrong(findings, "this number does not fit into 64 bits; write it as a text"),
        },
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
            Some(number) => Value::Number(number),
            None => wrong(findings, "JSON has no such number; write it as a text"),
        },
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(datetime) => Value::String(datetime.to_string()),
        DeValue::Array(items) => Value::Array(
            items.iter().map(|item| value(item, document, environment, findings)).collect(),
        ),
        DeValue::Table(table) => Value::Object(object(table, document, environment, findings)),
    }
}

/// A text with its variables filled in; none when that could not be done, which is written down.
pub(super) fn fill_in(
    text: &At<&str>,
    environment: &Environment,
    findings: &mut Findings,
) -> Option<String> {
    match interpolate(text.value, environment) {
        Ok(complete) => Some(complete.into_owned()),
        Err(InterpolateError::Missing(name)) => {
            findings.missing(
                &text.origin,
                format!(
                    "the environment variable {name} is not set; set it (in the environment or in \
                     .env) or write a default: ${{{name}:-default}}"
                ),
            );
            None
        }
        Err(InterpolateError::Malformed(why)) => {
            findings.wrong(&text.origin, why);
            None
        }
    }
}

/// `general` with `special` laid over it: tables are merged, everything else is replaced.
pub(super) fn merged(general: &Arc<Object>, special: Option<&Object>) -> Arc<Object> {
    match special {
        Some(special) if !special.is_empty() => {
            let mut merged = Object::clone(general);
            lay_over(&mut merged, special);
            Arc::new(merged)
        }
        _ => Arc::clone(general),
    }
}

fn lay_over(below: &mut Object, above: &Object) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => lay_over(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object_of(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            _ => panic!("no object"),
        }
    }

    #[test]
    fn tables_are_merged_and_everything_else_is_replaced() {
        let general = Arc::new(object_of(json!({"a": {"x": 1, "y": [1, 2]}, "b": 1, "c": 1})));
        let special = object_of(json!({"a": {"y": [3]}, "b": {"z": 2}}));
        let expected = object_of(json!({"a": {"x": 1, "y": [3]}, "b": {"z": 2}, "c": 1}));
        assert_eq!(*merged(&general, Some(&special)), expected);
    }

    #[test]
    fn options_without_a_change_are_shared() {
        let general = Arc::new(object_of(json!({"a": 1})));
        assert!(Arc::ptr_eq(&general, &merged(&general, None)));
        assert!(Arc::ptr_eq(&general, &merged(&general, Some(&Object::new()))));
    }
}
