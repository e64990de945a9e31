//! What an options-schema may be. A plugin writes it and the host follows it, on its own stack and
//! in its own time: a schema must not be able to send the host round in circles, or to unfold from
//! a few lines into a billion steps.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::limits;

/// Keywords that give a part of a schema another name or address. With them a `$ref` could lead
/// elsewhere than its text says.
const ADDRESSES: [&str; 6] =
    ["$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef"];

/// Makes ready to check options.
///
/// # Errors
/// When the schema is not one that this host follows.
pub(super) fn validator(schema: &Value) -> Result<Validator, String> {
    check(schema)?;
    // The engine that takes linear time whatever the pattern: it has no backreferences and no
    // looking around.
    let patterns = PatternOptions::regex()
        .size_limit(limits::SCHEMA_PATTERN_BYTES_MAX)
        .dfa_size_limit(limits::SCHEMA_PATTERN_BYTES_MAX);
    jsonschema::options()
        .with_pattern_options(patterns)
        .build(schema)
        .map_err(|error| format!("its options-schema is unusable: {error}"))
}

/// Whether a schema can be followed in bounded time and depth.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let steps = Walk { root: schema, known: HashMap::new() }.steps(schema, 0)?;
    if steps > limits::SCHEMA_STEPS_MAX {
        return Err(format!(
            "its options-schema unfolds to more than {} parts when all of its $ref are followed",
            limits::SCHEMA_STEPS_MAX
        ));
    }
    Ok(())
}

struct Walk<'s> {
    root: &'s Value,
    /// By address: how many steps a part takes; none while it is being walked through.
    known: HashMap<*const Value, Option<usize>>,
}

impl<'s> Walk<'s> {
    /// How many parts there are in and under `part`, those behind a `$ref` each time that it is
    /// followed.
    fn steps(&mut self, part: &'s Value, depth: usize) -> Result<usize, String> {
        if depth > limits::SCHEMA_DEPTH_MAX {
            return Err(format!(
                "its options-schema is nested more than {} levels deep, $ref included",
                limits::SCHEMA_DEPTH_MAX
            ));
        }
        let children: Vec<&'s Value> = match part {
            Value::Object(members) => {
                let mut children: Vec<&Value> = members.values().collect();
                for (name, value) in members {
                    let Some(text) = value.as_str() else { continue };
                    if name == "$ref" {
                        children.push(self.target(text)?);
                    } else if ADDRESSES.contains(&name.as_str()) {
                        return Err(format!(
                            "its options-schema has \"{name}\": parts of it are named by their \
                             place alone (\"$ref\": \"#/$defs/…\")"
                        ));
                    }
                }
                children
            }
            Value::Array(items) => items.iter().collect(),
            _ => return Ok(1),
        };
        let address: *const Value = part;
        match self.known.insert(address, None) {
            Some(Some(steps)) => {
                self.known.insert(address, Some(steps));
                return Ok(steps);
            }
            Some(None) => {
                return Err(String::from(
                    "its options-schema refers to itself: a $ref leads back to where it stands",
                ));
            }
            None => {}
        }
        let mut steps = 1_usize;
        for child in children {
            steps = steps.saturating_add(self.steps(child, depth + 1)?);
        }
        self.known.insert(address, Some(steps));
        Ok(steps)
    }

    fn target(&self, reference: &str) -> Result<&'s Value, String> {
        let inside = reference.strip_prefix('#').filter(|pointer| !pointer.contains('%'));
        inside.and_then(|pointer| self.root.pointer(pointer)).ok_or_else(|| {
            let shown = super::log::cut(reference, 100).escape_debug();
            format!(
                "its options-schema has \"$ref\": \"{shown}\", which is no place in itself \
                 (\"#/$defs/…\")"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_refers_to_its_own_definitions_is_followed() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$defs": { "text": { "type": "string", "pattern": "^[a-z]+$" } },
            "properties": {
                "a": { "$ref": "#/$defs/text" },
                "b": { "$ref": "#/$defs/text" },
                // Options may be called as keywords are.
                "$ref": { "type": "string" },
                "$id": { "type": "string" },
            },
        });
        let validator = validator(&schema).unwrap();
        assert!(validator.is_valid(&json!({ "a": "abc", "b": "abc" })));
        assert!(!validator.is_valid(&json!({ "a": "ABC" })));
    }

    #[test]
    fn what_would_never_end_is_refused() {
        let twice = |next: &str| json!({ "allOf": [{ "$ref": next }, { "$ref": next }] });
        let mut definitions = serde_json::Map::new();
        for level in 0..40 {
            definitions.insert(format!("d{level}"), twice(&format!("#/$defs/d{}", level + 1)));
        }
        definitions.insert(String::from("d40"), json!({}));
        let mut chain = serde_json::Map::new();
        for link in 0..10_000 {
            let next = format!("#/$defs/{}", link + 1);
            chain.insert(link.to_string(), json!({ "$ref": next }));
        }
        chain.insert(String::from("10000"), json!({}));
        for (schema, why) in [
            (json!({ "$ref": "#" }), "refers to itself"),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "not": { "$ref": "#/$defs/a" } } } }),
                "refers to itself",
            ),
            (json!({ "$ref": "#/$defs/d0", "$defs": definitions }), "unfolds to more than"),
            (json!({ "$ref": "#/$defs/0", "$defs": chain }), "levels deep"),
            (json!({ "$ref": "https://elsewhere.example/s" }), "no place in itself"),
            (json!({ "$ref": "file:///etc/passwd" }), "no place in itself"),
            (json!({ "$ref": "#/%24defs/a", "$defs": { "a": {} } }), "no place in itself"),
            (json!({ "$ref": "#/$defs/a" }), "no place in itself"),
            (json!({ "properties": { "a": { "$id": "x" } } }), "has \"$id\""),
            (json!({ "$dynamicRef": "#" }), "has \"$dynamicRef\""),
        ] {
            let error = check(&schema).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_pattern_takes_linear_time_or_is_refused() {
        let schema = |pattern: &str| json!({ "properties": { "a": { "pattern": pattern } } });
        let long = format!("{}!", "a".repeat(50_000));
        assert!(!validator(&schema("^(a+)+$")).unwrap().is_valid(&json!({ "a": long })));
        for refused in ["^(a+)\\1$", "(?=a)b", "((((a{99}){99}){99}){99})"] {
            assert!(validator(&schema(refused)).is_err(), "{refused}");
        }
    }
}
