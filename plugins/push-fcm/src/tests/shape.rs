//! What becomes of title, priority, target, life and length.

use conductor_sdk::Priority;

use super::*;

/// The bodies that a channel with these options sends for this message.
fn sent(options: &Value, message: &Message, parts: usize) -> Result<Vec<Value>, SendError> {
    let (host, fcm) = fcm(options);
    if parts > 0 {
        grant(&host);
    }
    for _ in 0..parts {
        host.answer(answer(200));
    }
    let receipt = fcm.send(message)?;
    assert_eq!(receipt.status, conductor_sdk::ReceiptStatus::Accepted);
    Ok(host.requests().iter().skip(1).map(|request| request.json()).collect())
}

fn one(options: &Value, message: &Message) -> Value {
    sent(options, message, 1).unwrap()[0].clone()
}

#[test]
fn a_plain_message_says_no_more_than_it_must() {
    assert_eq!(
        one(&json!({}), &message("disk full")),
        json!({
            "message": {
                "token": DEVICE,
                "notification": { "body": "disk full" },
                "android": {
                    "priority": "NORMAL",
                    "notification": { "notificationPriority": "PRIORITY_DEFAULT" },
                },
                "apns": {
                    "headers": { "apns-priority": "10" },
                    "payload": { "aps": { "interruption-level": "active", "sound": "default" } },
                },
                "webpush": { "headers": { "Urgency": "normal" } },
            },
            "validateOnly": false,
        })
    );
}

#[test]
fn each_priority_has_a_word_on_each_platform() {
    let words = |priority| {
        let mut message = message("x");
        message.priority = priority;
        let body = one(&json!({}), &message);
        [
            "/message/android/priority",
            "/message/android/notification/notificationPriority",
            "/message/apns/headers/apns-priority",
            "/message/apns/payload/aps/interruption-level",
            "/message/webpush/headers/Urgency",
        ]
        .map(|pointer| body.pointer(pointer).unwrap().as_str().unwrap().to_owned())
    };
    assert_eq!(words(Priority::Low), ["NORMAL", "PRIORITY_LOW", "5", "passive", "low"]);
    assert_eq!(words(Priority::High), ["HIGH", "PRIORITY_HIGH", "10", "time-sensitive", "high"]);
    assert_eq!(words(Priority::Urgent), ["HIGH", "PRIORITY_MAX", "10", "time-sensitive", "high"]);
}

#[test]
fn title_channel_and_what_is_fcms_own_go_along() {
    let mut message = message("98 %");
    message.title = Some("db-1".into());
    message.data = json!({ "ticket": 7, "fcm": {
        "image": "https://db-1.example/graph.png",
        "data": { "host": "db-1" },
        "collapse_key": "db-1/disk",
        "link": "https://db-1.example/",
    } })
    .to_string();
    let options = json!({ "android_channel_id": "alerts", "validate_only": true });
    let body = one(&options, &message);
    let sent = &body["message"];
    assert_eq!(
        sent["notification"],
        json!({ "title": "db-1", "body": "98 %", "image": "https://db-1.example/graph.png" })
    );
    assert_eq!(sent["data"], json!({ "host": "db-1" }));
    assert_eq!(sent["android"]["notification"]["channelId"], "alerts");
    assert_eq!(sent["android"]["collapseKey"], "db-1/disk");
    assert_eq!(sent["apns"]["headers"]["apns-collapse-id"], "db-1/disk");
    assert_eq!(sent["webpush"]["fcmOptions"], json!({ "link": "https://db-1.example/" }));
    assert_eq!(body["validateOnly"], true);
}

#[test]
fn a_target_is_a_token_or_a_topic() {
    let mut message = message("x");
    message.target = Some("/topics/news.de".into());
    let body = one(&json!({}), &message);
    assert_eq!(body["message"]["topic"], "news.de");
    assert_eq!(body["message"].get("token"), None);
    for bad in ["/topics/", "/topics/a/b", "/topics/ä", "a b", "a/b", &"a".repeat(4_097)] {
        message.target = Some(bad.to_owned());
        let error = sent(&json!({}), &message, 0).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
}

#[test]
fn google_keeps_a_message_no_longer_than_anybody_wants_it() {
    let life = |options: Value, expires_at: Option<&str>| {
        let mut message = message("x");
        message.expires_at = expires_at.map(str::to_owned);
        let body = one(&options, &message);
        let text = |pointer| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        (
            text("/message/android/ttl"),
            text("/message/apns/headers/apns-expiration"),
            text("/message/webpush/headers/TTL"),
        )
    };
    let of = |ttl: &str, until: &str, web: &str| {
        (Some(ttl.to_owned()), Some(until.to_owned()), Some(web.to_owned()))
    };
    assert_eq!(life(json!({}), None), (None, None, None));
    assert_eq!(life(json!({ "ttl_s": 600 }), None), of("600s", "1795284600", "600"));
    let in_an_hour = Some("2026-11-21T19:00:00.000Z");
    assert_eq!(life(json!({}), in_an_hour), of("3600s", "1795287600", "3600"));
    assert_eq!(life(json!({ "ttl_s": 600 }), in_an_hour), of("600s", "1795284600", "600"));
    let next_year = Some("2027-11-21T19:00:00.000Z");
    assert_eq!(life(json!({}), next_year).0.as_deref(), Some("2419200s"));
}

#[test]
fn a_long_message_is_rejected_cut_or_sent_in_parts_as_the_option_says() {
    let size = |body: &Value| body["message"]["notification"].to_string().len();
    let body = |body: &Value| body["message"]["notification"]["body"].as_str().unwrap().to_owned();
    // {"body":""} takes 11 bytes.
    let fits = message(&"a".repeat(4_085));
    assert_eq!(size(&one(&json!({}), &fits)), 4_096);
    let long = message(&"a".repeat(4_086));
    let error = sent(&json!({}), &long, 0).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));

    let cut = one(&json!({ "overflow": "truncate" }), &long);
    assert!(size(&cut) <= 4_096 && body(&cut).ends_with('…'));
    let parts = sent(&json!({ "overflow": "split" }), &long, 2).unwrap();
    assert_eq!(body(&parts[0]) + &body(&parts[1]), long.body);

    // A topic has half of it, and data counts.
    let mut to_topic = message(&"a".repeat(2_037));
    to_topic.target = Some("/topics/news".into());
    assert_eq!(size(&one(&json!({}), &to_topic)), 2_048);
    to_topic.data = json!({ "fcm": { "data": { "k": "v" } } }).to_string();
    assert!(sent(&json!({}), &to_topic, 0).is_err());
}

#[test]
fn what_data_says_wrongly_is_told() {
    for wrong in [
        json!({ "fcm": { "imag": "x" } }),
        json!({ "fcm": { "data": { "n": 7 } } }),
        json!({ "fcm": { "collapse_key": "k".repeat(65) } }),
    ] {
        let mut message = message("x");
        message.data = wrong.to_string();
        let error = sent(&json!({}), &message, 0).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_data"));
    }
}
