mod refusals;

use conductor_sdk::{
    HealthStatus, json,
    serde_json::Value,
    testing::{FakeHost, answer, manifest, message, start},
};

use super::*;

const ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const API_KEY: &str = "SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const SERVICE: &str = "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn options(more: &Value) -> Value {
    let mut options = json!({ "account_sid": ACCOUNT, "from": "+15550100", "to": "+15550199" });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

fn twilio(more: Value) -> (FakeHost, Twilio) {
    let host = FakeHost::install();
    host.secret(AUTH_TOKEN, "hush");
    (host, start(options(&more)).unwrap())
}

#[test]
fn a_message_is_posted_as_a_form_and_accepted() {
    let (host, twilio) = twilio(json!({}));
    host.answer(answer(201).json(&json!({
        "sid": "SM1", "status": "queued", "num_segments": "1", "error_code": null,
    })));
    let mut message = message("50 % & more");
    message.title = Some("db-1:\ndisk".into());
    let receipt = twilio.send(&message).unwrap();
    assert_eq!(
        receipt,
        Receipt::accepted().provider_id("SM1").detail("status", "queued").detail("segments", "1")
    );

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(
        request.url,
        format!("https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    );
    let basic = secrets::basic_auth(ACCOUNT, AUTH_TOKEN).unwrap();
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    assert_eq!(
        request.text(),
        "To=%2B15550199&Body=db-1%3A%20disk%0A50%20%25%20%26%20more&From=%2B15550100"
    );
}

#[test]
fn a_messaging_service_an_api_key_and_pictures() {
    let host = FakeHost::install();
    host.secret(AUTH_TOKEN, "hush").answer(answer(201));
    let twilio: Twilio = start(json!({
        "account_sid": ACCOUNT, "api_key_sid": API_KEY, "messaging_service_sid": SERVICE,
        "status_callback": "https://hooks.example/sms", "validity_period_s": 600,
        "api_base": "http://127.0.0.1:9/",
    }))
    .unwrap();
    let mut message = message("x");
    message.target = Some("+491700000".into());
    message.data = json!({ "twilio": { "media_urls": ["https://a.example/1.png", "https://a.example/2.png"] } })
        .to_string();
    twilio.send(&message).unwrap();
    let request = &host.requests()[0];
    assert!(request.url.starts_with("http://127.0.0.1:9/2010-04-01/Accounts/AC"));
    let basic = secrets::basic_auth(API_KEY, AUTH_TOKEN).unwrap();
    assert_eq!(request.header("authorization"), Some(basic.as_str()));
    assert_eq!(
        request.text(),
        format!(
            "To=%2B491700000&Body=x&MessagingServiceSid={SERVICE}\
             &StatusCallback=https%3A%2F%2Fhooks.example%2Fsms&ValidityPeriod=600\
             &MediaUrl=https%3A%2F%2Fa.example%2F1.png&MediaUrl=https%3A%2F%2Fa.example%2F2.png"
        )
    );
}

#[test]
fn twilio_keeps_a_message_no_longer_than_anybody_wants_it() {
    let period = |options: Value, expires_at: Option<&str>| {
        let (host, twilio) = twilio(options);
        // 2026-11-21 at 18:00 UTC.
        host.now(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_284_000))
            .answer(answer(201));
        let mut message = message("x");
        message.expires_at = expires_at.map(str::to_owned);
        twilio.send(&message).unwrap();
        let text = host.requests()[0].text();
        text.split('&').find_map(|pair| pair.strip_prefix("ValidityPeriod=")).map(str::to_owned)
    };
    let hour = Some("2026-11-21T19:00:00.000Z");
    assert_eq!(period(json!({}), None), None);
    assert_eq!(period(json!({}), hour).as_deref(), Some("3600"));
    assert_eq!(period(json!({ "validity_period_s": 60 }), hour).as_deref(), Some("60"));
    assert_eq!(period(json!({}), Some("2026-11-21T17:00:00.000Z")).as_deref(), Some("1"));
    assert_eq!(period(json!({}), Some("2026-11-23T00:00:00.000Z")), None);
}

#[test]
fn either_a_sender_or_a_messaging_service() {
    FakeHost::install().secret(AUTH_TOKEN, "hush");
    for wrong in [json!({ "messaging_service_sid": SERVICE }), json!({ "from": null })] {
        let failure = start::<Twilio>(options(&wrong)).err().unwrap();
        assert!(!failure.temporary && failure.problem.detail.contains("from"), "{failure:?}");
    }
}

#[test]
fn only_a_number_with_its_country_is_a_target() {
    let (host, twilio) = twilio(json!({}));
    let mut message = message("x");
    for bad in ["15550100", "+0155", "+1 555 0100", "+", "+1555010012345678", "ops"] {
        message.target = Some(bad.into());
        let error = twilio.send(&message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
    assert!(host.requests().is_empty());
    let (_, nobody) = self::twilio(json!({ "to": null }));
    message.target = None;
    let error = nobody.send(&message).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "missing_target"));
}

#[test]
fn a_long_message_is_rejected_cut_or_sent_in_parts_as_the_option_says() {
    let long = message(&"é".repeat(1_601));
    let (host, rejecting) = twilio(json!({}));
    let error = rejecting.send(&long).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "too_long"));
    host.answer(answer(201));
    rejecting.send(&message(&"é".repeat(1_600))).unwrap();
    assert_eq!(host.requests().len(), 1);

    let (host, truncating) = twilio(json!({ "overflow": "truncate" }));
    host.answer(answer(201));
    truncating.send(&long).unwrap();
    let sent = host.requests()[0].text();
    assert_eq!(sent.matches("%C3%A9").count(), 1_599);
    assert!(sent.contains("%E2%80%A6"));

    let (host, splitting) = twilio(json!({ "overflow": "split" }));
    host.answer(answer(201).json(&json!({ "sid": "SM1" })))
        .answer(answer(201).json(&json!({ "sid": "SM2" })));
    let mut with_picture = long.clone();
    with_picture.data =
        json!({ "twilio": { "media_urls": ["https://a.example/1.png"] } }).to_string();
    let receipt = splitting.send(&with_picture).unwrap();
    assert_eq!(receipt.status, ReceiptStatus::Accepted);
    assert_eq!(receipt.provider_id.as_deref(), Some("SM1"));
    let sent: Vec<String> = host.requests().iter().map(|request| request.text()).collect();
    assert_eq!(sent.iter().map(|text| text.matches("%C3%A9").count()).sum::<usize>(), 1_601);
    assert!(sent[0].contains("MediaUrl") && !sent[1].contains("MediaUrl"));
}

#[test]
fn more_pictures_than_twilio_takes_and_typing_mistakes_are_told() {
    let (host, twilio) = twilio(json!({}));
    for data in [
        json!({ "twilio": { "media_urls": vec!["https://a.example/"; 11] } }),
        json!({ "twilio": { "mediaUrls": [] } }),
    ] {
        let mut message = message("x");
        message.data = data.to_string();
        let error = twilio.send(&message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_data"));
    }
    assert!(host.requests().is_empty());
}

#[test]
fn health_asks_for_the_account_or_with_an_api_key_for_a_message() {
    let (host, twilio) = twilio(json!({}));
    host.answer(answer(200).json(&json!({ "sid": ACCOUNT, "status": "active" })))
        .answer(answer(200).json(&json!({ "sid": ACCOUNT, "status": "suspended" })))
        .answer(answer(401).json(&json!({ "code": 20003, "message": "Authenticate" })));
    let reports = [(); 3].map(|()| twilio.health());
    use HealthStatus::{Healthy, Unhealthy};
    assert_eq!(reports.clone().map(|report| report.status), [Healthy, Unhealthy, Unhealthy]);
    assert!(reports[1].detail.as_ref().unwrap().contains("suspended"));
    assert!(host.requests()[0].url.ends_with(&format!("/Accounts/{ACCOUNT}.json")));

    let (host, twilio) = self::twilio(json!({ "api_key_sid": API_KEY }));
    host.answer(answer(200).json(&json!({ "messages": [] })));
    assert_eq!(twilio.health().status, Healthy);
    assert!(host.requests()[0].url.ends_with("/Messages.json?PageSize=1"));
}

#[test]
fn the_manifest_and_its_schema_are_as_narrow_as_twilio() {
    let manifest = manifest::<Twilio>();
    assert_eq!(manifest["name"], "sms-twilio");
    assert_eq!(manifest["hosts"], json!(["https://api.twilio.com", "option:api_base"]));
    assert_eq!(manifest["bodyMax"], BODY_CHARACTERS_MAX);
    let schema = &manifest["optionsSchema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["account_sid"]));
    assert_eq!(schema["properties"]["validity_period_s"]["maximum"], 36_000);
}
