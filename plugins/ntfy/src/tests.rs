mod refusals;

use conductor_sdk::{
    HealthStatus, json,
    serde_json::Value,
    testing::{FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn ntfy(options: Value) -> (FakeHost, Ntfy) {
    let host = FakeHost::install();
    host.secret(TOKEN, "tk_secret");
    let mut merged = json!({ "topic": "alerts" });
    for (name, value) in options.as_object().unwrap() {
        merged[name] = value.clone();
    }
    (host, start(merged).unwrap())
}

#[test]
fn a_message_is_published_to_the_topic() {
    let (host, ntfy) = ntfy(json!({}));
    host.answer(answer(200).json(&json!({ "id": "sPs71M8A2T", "event": "message" })));
    let receipt = ntfy.send(&message("disk almost full")).unwrap();
    assert_eq!(receipt, Receipt::delivered().provider_id("sPs71M8A2T"));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", "https://ntfy.sh/"));
    let bearer = format!("Bearer {}", placeholder(TOKEN));
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        request.json(),
        json!({
            "topic": "alerts",
            "message": "disk almost full",
            "priority": 3,
            "sequence_id": "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b-0",
        })
    );
}

#[test]
fn title_priority_format_and_what_is_ntfys_own_go_along() {
    let (host, ntfy) = ntfy(json!({ "url": "https://push.example/ntfy/", "tags": ["warning"] }));
    host.answer(answer(200));
    let mut message = message("**full**");
    message.title = Some(" db-1:\n disk ".into());
    message.format = Format::Markdown;
    message.priority = Priority::Urgent;
    message.data = json!({
        "ticket": 7,
        "ntfy": {
            "tags": ["disk"],
            "click": "https://db-1.example/",
            "actions": [{ "action": "view", "label": "Open", "url": "https://db-1.example/" }],
        },
    })
    .to_string();
    ntfy.send(&message).unwrap();
    let request = &host.requests()[0];
    assert_eq!(request.url, "https://push.example/ntfy/");
    let sent = request.json();
    assert_eq!(sent["title"], "db-1: disk");
    assert_eq!(sent["markdown"], true);
    assert_eq!(sent["priority"], 5);
    assert_eq!(sent["tags"], json!(["warning", "disk"]));
    assert_eq!(sent["click"], "https://db-1.example/");
    assert_eq!(sent["actions"][0]["label"], "Open");
    assert_eq!(sent["ticket"], Value::Null);
}

#[test]
fn each_priority_has_a_number_of_ntfys() {
    let numbers = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent].map(priority);
    assert_eq!(numbers, [2, 3, 4, 5]);
}

#[test]
fn an_account_signs_in_and_an_open_topic_needs_nobody() {
    let host = FakeHost::install();
    host.secret(PASSWORD, "hush").answer(answer(200));
    let ntfy: Ntfy = start(json!({ "topic": "alerts", "username": "ops" })).unwrap();
    ntfy.send(&message("x")).unwrap();
    let basic = secrets::basic_auth("ops", PASSWORD).unwrap();
    assert_eq!(host.requests()[0].header("authorization"), Some(basic.as_str()));

    let host = FakeHost::install();
    host.answer(answer(200));
    let ntfy: Ntfy = start(json!({ "topic": "alerts" })).unwrap();
    ntfy.send(&message("x")).unwrap();
    assert_eq!(host.requests()[0].header("authorization"), None);

    let error = start::<Ntfy>(json!({ "topic": "alerts", "username": "ops" })).err().unwrap();
    assert_eq!((error.problem.code.as_str(), error.temporary), ("missing_secret", false));
}

#[test]
fn a_notification_may_name_another_topic_but_nothing_that_is_none() {
    let (host, ntfy) = ntfy(json!({}));
    host.answer(answer(200));
    let mut message = message("x");
    message.target = Some("team_a-1".into());
    ntfy.send(&message).unwrap();
    assert_eq!(host.requests()[0].json()["topic"], "team_a-1");
    for bad in ["a/b", "ä", "a b", &"a".repeat(65)] {
        message.target = Some(bad.to_owned());
        let error = ntfy.send(&message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
    let (_host, ntfy) = (FakeHost::install(), start::<Ntfy>(json!({})).unwrap());
    message.target = None;
    let error = ntfy.send(&message).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "missing_target"));
}

#[test]
fn a_long_message_is_rejected_cut_or_sent_in_parts_as_the_option_says() {
    // 2 bytes each: 4,096 bytes have room for 2,048.
    let long = message(&"é".repeat(2_049));
    let (host, rejecting) = ntfy(json!({}));
    let error = rejecting.send(&long).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    assert!(host.requests().is_empty());

    let (host, truncating) = ntfy(json!({ "overflow": "truncate" }));
    host.answer(answer(200));
    truncating.send(&long).unwrap();
    let sent = host.requests()[0].json()["message"].as_str().unwrap().to_owned();
    assert!(sent.len() <= 4_096 && sent.len() > 4_090 && sent.ends_with('…'), "{}", sent.len());

    let (host, splitting) = ntfy(json!({ "overflow": "split" }));
    host.answer(answer(200).json(&json!({ "id": "first" }))).answer(answer(200));
    let mut titled = long.clone();
    titled.title = Some("db-1".into());
    let receipt = splitting.send(&titled).unwrap();
    assert_eq!(receipt.provider_id.as_deref(), Some("first"));
    let sent: Vec<Value> =
        host.requests().iter().map(conductor_sdk::testing::SentRequest::json).collect();
    let text = |part: &Value| part["message"].as_str().unwrap().to_owned();
    assert_eq!(text(&sent[0]) + &text(&sent[1]), long.body);
    assert_eq!((&sent[0]["title"], &sent[1]["title"]), (&json!("db-1"), &Value::Null));
    assert_ne!(sent[0]["sequence_id"], sent[1]["sequence_id"]);
}

#[test]
fn markdown_fits_to_the_byte_and_is_cut_beyond() {
    let (host, ntfy) = ntfy(json!({ "overflow": "truncate" }));
    host.answer(answer(200)).answer(answer(200));
    let mut message = message(&"a".repeat(4_096));
    message.format = Format::Markdown;
    ntfy.send(&message).unwrap();
    message.body.push('b');
    ntfy.send(&message).unwrap();
    let sent: Vec<String> = host
        .requests()
        .iter()
        .map(|request| request.json()["message"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent[0], "a".repeat(4_096));
    assert!(sent[1].len() <= 4_096 && sent[1].ends_with('…'));
}

#[test]
fn a_typing_mistake_in_data_is_told_and_not_passed_over() {
    let (host, ntfy) = ntfy(json!({}));
    let mut message = message("x");
    message.data = json!({ "ntfy": { "clik": "https://x.example/" } }).to_string();
    let error = ntfy.send(&message).unwrap_err();
    assert!(error.problem().detail.contains("clik"), "{error:?}");
    assert!(host.requests().is_empty());
}

#[test]
fn health_asks_the_server_and_shows_it_the_credential() {
    let (host, ntfy) = ntfy(json!({}));
    host.answer(answer(200).json(&json!({ "healthy": true })))
        .answer(answer(200).json(&json!({ "healthy": false })))
        .answer(answer(401).json(&json!({ "code": 40101, "http": 401, "error": "unauthorized" })))
        .answer(answer(200).body("<html>"));
    let found = [(); 4].map(|()| ntfy.health().status);
    assert_eq!(
        found,
        [
            HealthStatus::Healthy,
            HealthStatus::Unhealthy,
            HealthStatus::Unhealthy,
            HealthStatus::Degraded
        ]
    );
    let request = &host.requests()[0];
    assert_eq!(request.url, "https://ntfy.sh/v1/health");
    assert!(request.header("authorization").is_some());
}

#[test]
fn the_manifest_says_what_ntfy_takes() {
    let manifest = manifest::<Ntfy>();
    assert_eq!(manifest["name"], "ntfy");
    assert_eq!(manifest["hosts"], json!(["https://ntfy.sh", "option:url"]));
    assert_eq!(manifest["bodyMax"], MESSAGE_BYTES_MAX);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
    assert_eq!(
        manifest["optionsSchema"]["properties"]["topic"]["pattern"],
        "^[-_A-Za-z0-9]{1,64}$"
    );
}
