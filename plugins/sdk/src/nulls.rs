//! JSON without what is absent.

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
}
