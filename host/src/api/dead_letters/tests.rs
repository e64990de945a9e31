use serde_json::json;

use super::*;
use crate::{api::listing::write_cursor, clock::UnixMs};

fn pointers(body: Value) -> Vec<String> {
    let tenant = TenantId(uuid::Uuid::nil());
    let problem = read_range(tenant, body).unwrap_err().to_json();
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_field_of_a_range_reaches_its_place() {
    let tenant = TenantId(uuid::Uuid::nil());
    let body = json!({
        "status": "dead", "channel": "log", "from": "2025-11-21T17:40:00Z",
        "to": "2025-11-21T17:41:00Z", "limit": 7, "cursor": write_cursor(5),
    });
    let query = read_range(tenant, body).unwrap();
    assert_eq!(query.state, Some(store::State::Dead));
    assert_eq!(query.channel.unwrap().as_str(), "log");
    assert_eq!(query.from, Some(UnixMs(1_763_746_800_000)));
    assert_eq!(query.to, Some(UnixMs(1_763_746_860_000)));
    assert_eq!((query.limit, query.cursor), (7, Some(5)));
    let short = read_range(tenant, json!({"status": "dead"})).unwrap();
    assert_eq!(short.limit, DEAD_LETTERS_LIMIT_DEFAULT);
}

#[test]
fn all_that_is_wrong_with_a_range_is_said_at_once() {
    assert_eq!(pointers(json!({})), ["/status"]);
    assert_eq!(pointers(json!([])), [""]);
    assert_eq!(
        pointers(json!({"status": "delivered", "channel": "A b", "from": "now", "cursor": "x",
                        "chanel": "log"})),
        ["/status", "/channel", "/from", "/cursor", "/chanel"]
    );
    for limit in [json!(0), json!(201), json!("9"), json!(1.5)] {
        assert_eq!(pointers(json!({"status": "dead", "limit": limit})), ["/limit"]);
    }
    let order = json!({"status": "dead", "from": "2025-01-02T00:00:00Z",
                       "to": "2025-01-01T00:00:00Z"});
    assert_eq!(pointers(order), ["/to"]);
}
