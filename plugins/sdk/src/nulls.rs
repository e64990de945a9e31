//! JSON without what is absent, and with what comes on top.

use serde_json::Value;

/// `value` without the members that are null, at any depth: for a body with many optional members,
/// written at one place with [`json!`](crate::json). Elements of arrays stay.
///
/// ```
/// use conductor_sdk::{json, without_nulls};
///
/// let title: Option<&str> = None;
/// assert_eq!(without_nulls(json!({ "title": title, "text": "hello" })), json!({ "text": "hello" }));
/// ```
#[must_use]
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(name, member)| (name, without_nulls(member)))
            .collect(),
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// The object `value` with the members of the object `more`, which win: for what only some of the
/// bodies have.
///
/// ```
/// use conductor_sdk::{json, with_members};
///
/// let body = with_members(&json!({ "text": "hello" }), json!({ "room": "ops" }));
/// assert_eq!(body, json!({ "text": "hello", "room": "ops" }));
/// ```
#[must_use]
pub fn with_members(value: &Value, more: Value) -> Value {
    let mut whole = value.clone();
    if let (Value::Object(members), Value::Object(more)) = (&mut whole, more) {
        members.extend(more);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn only_members_that_are_null_are_left_out() {
        let all =
            json!({ "a": null, "b": { "c": null, "d": 0 }, "e": [null, { "f": null }], "g": "" });
        assert_eq!(without_nulls(all), json!({ "b": { "d": 0 }, "e": [null, {}], "g": "" }));
    }

    #[test]
    fn members_come_on_top_of_an_object_and_of_nothing_else() {
        let all = with_members(&json!({ "a": 1, "b": 2 }), json!({ "b": 3, "c": null }));
        assert_eq!(all, json!({ "a": 1, "b": 3, "c": null }));
        assert_eq!(with_members(&json!([1]), json!({ "a": 1 })), json!([1]));
        assert_eq!(with_members(&json!({ "a": 1 }), json!(null)), json!({ "a": 1 }));
    }
}
