mod refusals;

use conductor_sdk::{
    Priority, json,
    serde_json::Value,
    testing::{FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn pagerduty(options: Value) -> (FakeHost, PagerDuty) {
    let host = FakeHost::install();
    host.secret(ROUTING_KEY, "e93facc04764012d7bfb002500d5d1a6");
    (host, start(options).unwrap())
}

/// The event that a channel with these options makes of the message.
fn sent(options: Value, message: &Message) -> Result<Value, SendError> {
    let (host, pagerduty) = pagerduty(options);
    host.answer(answer(202).json(&json!({ "status": "success", "dedup_key": "k" })));
    pagerduty.send(message)?;
    Ok(host.requests()[0].json())
}

#[test]
fn a_message_opens_an_alert_under_the_delivery_key() {
    let (host, pagerduty) = pagerduty(json!({}));
    let mut message = message("disk almost full");
    host.answer(answer(202).json(&json!({
        "status": "success",
        "message": "Event processed",
        "dedup_key": message.delivery_key,
    })));
    message.priority = Priority::Urgent;
    let receipt = pagerduty.send(&message).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id(&message.delivery_key));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://events.pagerduty.com/v2/enqueue");
    assert_eq!(
        request.json(),
        json!({
            "routing_key": placeholder(ROUTING_KEY),
            "event_action": "trigger",
            "dedup_key": "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:0",
            "payload": {
                "summary": "disk almost full",
                "source": "Acme",
                "severity": "critical",
                "timestamp": "2026-11-21T18:00:00.000Z",
            },
        })
    );
}

#[test]
fn each_priority_is_a_severity() {
    let severity = |priority| {
        let mut message = message("x");
        message.priority = priority;
        sent(json!({}), &message).unwrap()["payload"]["severity"].clone()
    };
    assert_eq!(
        [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent].map(severity),
        ["info", "warning", "error", "critical"]
    );
}

#[test]
fn the_title_is_the_summary_and_the_rest_goes_into_the_details() {
    let mut message = message("98 %\nof /var");
    message.title = Some("db-1:\tdisk".into());
    message.data = json!({ "host": "db-1", "used": 0.98 }).to_string();
    let payload = sent(json!({}), &message).unwrap()["payload"].clone();
    assert_eq!(payload["summary"], "db-1: disk");
    assert_eq!(
        payload["custom_details"],
        json!({ "host": "db-1", "used": 0.98, "message": "98 %\nof /var" })
    );
}

#[test]
fn a_long_text_is_cut_in_the_summary_and_whole_in_the_details() {
    let long = message(&"é".repeat(1_025));
    let payload = sent(json!({}), &long).unwrap()["payload"].clone();
    let summary = payload["summary"].as_str().unwrap();
    assert_eq!(summary.chars().count(), 1_024);
    assert!(summary.ends_with('…'));
    assert_eq!(payload["custom_details"]["message"], long.body.as_str());

    let payload = sent(json!({}), &message(&"é".repeat(1_024))).unwrap()["payload"].clone();
    assert_eq!(payload["summary"].as_str().unwrap().chars().count(), 1_024);
    assert_eq!(payload.get("custom_details"), None);
}

#[test]
fn options_say_where_and_the_notification_knows_better() {
    let options = json!({ "source": "db", "component": "mysql", "group": "prod", "class": "disk" });
    let payload = sent(options.clone(), &message("x")).unwrap()["payload"].clone();
    let named = |payload: &Value| {
        ["source", "component", "group", "class"].map(|name| payload[name].clone())
    };
    assert_eq!(named(&payload), ["db", "mysql", "prod", "disk"]);

    let mut message = message("x");
    message.data = json!({ "pagerduty": {
        "source": "db-1", "component": "ext4", "severity": "info",
        "links": [{ "href": "https://runbook.example/", "text": "Runbook" }],
        "images": [{ "src": "https://graph.example/1.png" }],
    } })
    .to_string();
    let event = sent(options, &message).unwrap();
    assert_eq!(named(&event["payload"]), ["db-1", "ext4", "prod", "disk"]);
    assert_eq!(event["payload"]["severity"], "info");
    assert_eq!(event["payload"].get("custom_details"), None);
    assert_eq!(event["links"], json!([{ "href": "https://runbook.example/", "text": "Runbook" }]));
    assert_eq!(event["images"], json!([{ "src": "https://graph.example/1.png" }]));
}

#[test]
fn an_alert_is_acknowledged_and_resolved_by_its_key() {
    for action in ["acknowledge", "resolve"] {
        let mut message = message("done");
        message.data =
            json!({ "pagerduty": { "action": action, "dedup_key": "db-1/disk" } }).to_string();
        assert_eq!(
            sent(json!({}), &message).unwrap(),
            json!({
                "routing_key": placeholder(ROUTING_KEY),
                "event_action": action,
                "dedup_key": "db-1/disk",
            })
        );
        message.data = json!({ "pagerduty": { "action": action } }).to_string();
        let error = sent(json!({}), &message).unwrap_err();
        assert!(
            matches!(error, SendError::Rejected(problem) if problem.code == "missing_dedup_key")
        );
    }
}

#[test]
fn a_key_of_the_callers_own_may_have_255_characters() {
    let with_key = |key: &str| {
        let mut message = message("x");
        message.data = json!({ "pagerduty": { "dedup_key": key } }).to_string();
        sent(json!({}), &message)
    };
    assert_eq!(with_key(&"é".repeat(255)).unwrap()["dedup_key"], "é".repeat(255));
    for bad in [String::new(), "é".repeat(256)] {
        let error = with_key(&bad).unwrap_err();
        assert!(error.problem().detail.contains("dedup_key"), "{error:?}");
    }
}

#[test]
fn what_data_says_wrongly_is_told() {
    for wrong in [
        json!({ "pagerduty": { "action": "close" } }),
        json!({ "pagerduty": { "dedupkey": "x" } }),
        json!({ "pagerduty": { "severity": "fatal" } }),
    ] {
        let mut message = message("x");
        message.data = wrong.to_string();
        let error = sent(json!({}), &message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_data"));
    }
}

#[test]
fn an_event_larger_than_pagerduty_takes_is_not_sent() {
    let (host, pagerduty) = pagerduty(json!({}));
    let mut message = message("x");
    message.data = json!({ "dump": "a".repeat(EVENT_BYTES_MAX) }).to_string();
    let error = pagerduty.send(&message).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    assert!(host.requests().is_empty());
}

#[test]
fn europe_and_a_proxy_have_addresses_of_their_own() {
    for (options, url) in [
        (json!({ "region": "eu" }), "https://events.eu.pagerduty.com/v2/enqueue"),
        (json!({ "api_base": "http://127.0.0.1:9/" }), "http://127.0.0.1:9/v2/enqueue"),
    ] {
        let (host, pagerduty) = pagerduty(options);
        host.answer(answer(202));
        pagerduty.send(&message("x")).unwrap();
        assert_eq!(host.requests()[0].url, url);
    }
}

#[test]
fn the_manifest_names_both_regions_and_the_key() {
    let manifest = manifest::<PagerDuty>();
    assert_eq!(manifest["name"], "pagerduty");
    assert_eq!(
        manifest["hosts"],
        json!([
            "https://events.pagerduty.com",
            "https://events.eu.pagerduty.com",
            "option:api_base"
        ])
    );
    assert_eq!(manifest["secrets"][0]["required"], true);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
}
