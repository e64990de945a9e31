use super::*;
use conductor_sdk::{
    json,
    testing::{FakeHost, manifest, message, start},
};

#[test]
fn a_notification_becomes_one_line_with_its_fields() {
    let host = FakeHost::install();
    let channel: Log = start(json!({})).unwrap();
    let mut message = message("disk almost full");
    message.title = Some("db-1".into());
    message.target = Some("ops".into());
    message.priority = conductor_sdk::Priority::Urgent;

    let receipt = channel.send(&message).unwrap();

    assert_eq!(receipt, Receipt::delivered().provider_id(&message.id));
    let [line] = host.logs().try_into().unwrap();
    assert_eq!(line.level, log::Level::Info);
    assert_eq!(line.message, "disk almost full");
    assert_eq!(line.field("priority"), Some("urgent"));
    assert_eq!(line.field("title"), Some("db-1"));
    assert_eq!(line.field("target"), Some("ops"));
}

#[test]
fn the_options_choose_the_level() {
    let host = FakeHost::install();
    let channel: Log = start(json!({ "level": "warn" })).unwrap();
    channel.send(&message("hello")).unwrap();
    assert_eq!(host.logs()[0].level, log::Level::Warn);
    assert_eq!(host.logs()[0].field("title"), None);
}

#[test]
fn an_unknown_option_or_level_is_refused() {
    for bad in [json!({ "levle": "info" }), json!({ "level": "loud" })] {
        assert!(start::<Log>(bad).is_err_and(|failure| !failure.temporary));
    }
}

#[test]
fn the_log_asks_for_nothing() {
    let manifest = manifest::<Log>();
    assert_eq!(manifest["name"], "log");
    assert_eq!(manifest["hosts"], json!([]));
    assert_eq!(manifest["secrets"], json!([]));
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
    assert_eq!(
        manifest["optionsSchema"]["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
}
