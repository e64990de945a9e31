mod refusals;

use std::time::UNIX_EPOCH;

use conductor_sdk::{
    HealthStatus, json,
    serde_json::Value,
    testing::{FakeHost, SentRequest, answer, jwt_placeholder, manifest, message, start},
};

use super::*;

const DEVICE: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

fn apns(more: &Value) -> (FakeHost, Apns) {
    let host = FakeHost::install();
    // 2026-11-21 at 18:00 UTC.
    host.now(UNIX_EPOCH + Duration::from_secs(1_795_284_000)).secret(PRIVATE_KEY, "key");
    let mut options = json!({
        "team_id": "DEF123GHIJ", "key_id": "ABC123DEFG", "topic": "com.example.acme",
        "device_token": DEVICE,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    (host, start(options).unwrap())
}

/// The requests that a channel with these options sends for this message.
fn sent(options: &Value, message: &Message, parts: usize) -> Result<Vec<SentRequest>, SendError> {
    let (host, apns) = apns(options);
    for _ in 0..parts {
        host.answer(answer(200));
    }
    let receipt = apns.send(message)?;
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
    Ok(host.requests())
}

fn one(options: &Value, message: &Message) -> SentRequest {
    sent(options, message, 1).unwrap()[0].clone()
}

#[test]
fn a_message_is_pushed_with_a_token_that_the_host_signs() {
    let (host, apns) = apns(&json!({}));
    let message = message("disk full");
    host.answer(answer(200).header("apns-id", &message.id));
    let receipt = apns.send(&message).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id(&message.id));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, format!("https://api.push.apple.com/3/device/{DEVICE}"));
    let bearer = format!("bearer {}", jwt_placeholder(PRIVATE_KEY));
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("apns-topic", "com.example.acme"),
        ("apns-push-type", "alert"),
        ("apns-priority", "10"),
        ("apns-id", message.id.as_str()),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.header("apns-expiration"), None);
    assert_eq!(
        request.json(),
        json!({ "aps": { "alert": { "body": "disk full" }, "interruption-level": "active" } })
    );
    let jwt = host.jwts().last().unwrap().clone();
    assert_eq!(Value::Object(jwt.header), json!({ "kid": "ABC123DEFG" }));
    assert_eq!(Value::Object(jwt.claims), json!({ "iss": "DEF123GHIJ" }));
    // Between 20 and 60 minutes.
    assert_eq!((jwt.renew_after_ms, jwt.expires_after_ms), (1_800_000, None));
}

#[test]
fn each_environment_and_a_proxy_have_addresses_of_their_own() {
    for (options, base) in [
        (json!({ "environment": "sandbox" }), "https://api.sandbox.push.apple.com/3/device/"),
        (json!({ "api_base": "https://127.0.0.1:9/" }), "https://127.0.0.1:9/3/device/"),
    ] {
        let url = one(&options, &message("x")).url;
        assert!(url.starts_with(base), "{url}");
    }
}

#[test]
fn each_priority_has_a_level_and_low_ones_make_no_sound() {
    let levels = |priority| {
        let mut message = message("x");
        message.priority = priority;
        let request = one(&json!({ "sound": "default" }), &message);
        let aps = request.json()["aps"].clone();
        let level = aps["interruption-level"].as_str().unwrap().to_owned();
        let priority = request.header("apns-priority").unwrap().to_owned();
        (priority, level, aps["sound"].as_str().map(str::to_owned))
    };
    let of = |priority: &str, level: &str, sound: Option<&str>| {
        (priority.to_owned(), level.to_owned(), sound.map(str::to_owned))
    };
    assert_eq!(levels(Priority::Low), of("5", "passive", None));
    assert_eq!(levels(Priority::Normal), of("10", "active", Some("default")));
    assert_eq!(levels(Priority::High), of("10", "time-sensitive", Some("default")));
    assert_eq!(levels(Priority::Urgent), of("10", "time-sensitive", Some("default")));
}

#[test]
fn title_and_what_is_apples_own_go_along() {
    let mut message = message("98 %");
    message.title = Some("db-1".into());
    message.data = json!({ "ticket": 7, "apns": {
        "subtitle": "disk", "badge": 0, "sound": "alarm.caf", "category": "ALERT",
        "thread_id": "db-1", "interruption_level": "critical", "collapse_id": "db-1/disk",
        "custom": { "host": "db-1" },
    } })
    .to_string();
    let request = one(&json!({}), &message);
    assert_eq!(request.header("apns-collapse-id"), Some("db-1/disk"));
    assert_eq!(
        request.json(),
        json!({
            "aps": {
                "alert": { "title": "db-1", "subtitle": "disk", "body": "98 %" },
                "badge": 0, "sound": "alarm.caf", "category": "ALERT", "thread-id": "db-1",
                "interruption-level": "critical",
            },
            "host": "db-1",
        })
    );
}

#[test]
fn what_data_says_wrongly_is_told() {
    for wrong in [
        json!({ "apns": { "badg": 1 } }),
        json!({ "apns": { "badge": -1 } }),
        json!({ "apns": { "interruption_level": "loud" } }),
        json!({ "apns": { "collapse_id": "k".repeat(65) } }),
        json!({ "apns": { "collapse_id": "a\nb" } }),
        json!({ "apns": { "custom": { "aps": {} } } }),
    ] {
        let mut message = message("x");
        message.data = wrong.to_string();
        let error = sent(&json!({}), &message, 0).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_data"));
    }
}

#[test]
fn only_hexadecimal_is_a_target() {
    let mut message = message("x");
    message.target = Some("AB".repeat(40));
    assert!(one(&json!({}), &message).url.ends_with(&"AB".repeat(40)));
    for bad in ["0".repeat(63), "0".repeat(202), "g".repeat(64), "ab".into(), "../x".into()] {
        message.target = Some(bad);
        let error = sent(&json!({}), &message, 0).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
}

#[test]
fn apple_keeps_a_message_no_longer_than_anybody_wants_it() {
    let until = |options: Value, expires_at: Option<&str>| {
        let mut message = message("x");
        message.expires_at = expires_at.map(str::to_owned);
        one(&options, &message).header("apns-expiration").map(str::to_owned)
    };
    let in_an_hour = Some("2026-11-21T19:00:00.000Z");
    assert_eq!(until(json!({}), None), None);
    assert_eq!(until(json!({}), in_an_hour).as_deref(), Some("1795287600"));
    assert_eq!(until(json!({ "ttl_s": 60 }), in_an_hour).as_deref(), Some("1795284060"));
    assert_eq!(until(json!({ "ttl_s": 0 }), None).as_deref(), Some("0"));
}

#[test]
fn a_long_message_is_rejected_cut_or_sent_in_parts_as_the_option_says() {
    let empty = one(&json!({}), &message("")).body.len();
    let room = payload::PAYLOAD_BYTES_MAX - empty;
    assert_eq!(one(&json!({}), &message(&"a".repeat(room))).body.len(), 4_096);
    let long = message(&"a".repeat(room + 1));
    let error = sent(&json!({}), &long, 0).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));

    let text =
        |request: &SentRequest| request.json()["aps"]["alert"]["body"].as_str().unwrap().to_owned();
    let cut = one(&json!({ "overflow": "truncate" }), &long);
    assert!(cut.body.len() <= 4_096 && text(&cut).ends_with('…'));
    let parts = sent(&json!({ "overflow": "split" }), &long, 2).unwrap();
    assert_eq!(text(&parts[0]) + &text(&parts[1]), long.body);
    assert_eq!(parts[0].header("apns-id"), Some(long.id.as_str()));
    assert_eq!(parts[1].header("apns-id"), None);
}

#[test]
fn without_a_key_the_channel_does_not_start_and_with_one_it_is_healthy() {
    let (_host, apns) = apns(&json!({}));
    assert_eq!(apns.health().status, HealthStatus::Healthy);
    let _host = FakeHost::install();
    let options = json!({ "team_id": "DEF123GHIJ", "key_id": "ABC123DEFG", "topic": "a.b" });
    let failure = start::<Apns>(options).err().unwrap();
    assert_eq!((failure.problem.code.as_str(), failure.temporary), ("missing_secret", false));
}

#[test]
fn the_manifest_names_both_environments_and_the_key() {
    let manifest = manifest::<Apns>();
    assert_eq!(manifest["name"], "push-apns");
    assert_eq!(
        manifest["hosts"],
        json!([
            "https://api.push.apple.com",
            "https://api.sandbox.push.apple.com",
            "option:api_base"
        ])
    );
    assert_eq!(manifest["secrets"][0]["required"], true);
    let schema = &manifest["optionsSchema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["team_id", "key_id", "topic"]));
}
