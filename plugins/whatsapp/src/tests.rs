mod refusals;
mod shape;

use conductor_sdk::{
    HealthStatus, json,
    testing::{FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn whatsapp(more: &Value) -> (FakeHost, WhatsApp) {
    let host = FakeHost::install();
    host.secret(ACCESS_TOKEN, "hush");
    let mut options = json!({ "phone_number_id": "106540352242922", "to": "+16505551234" });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    (host, start(options).unwrap())
}

#[test]
fn a_text_is_posted_and_accepted() {
    let (host, whatsapp) = whatsapp(&json!({ "preview_url": true }));
    host.answer(answer(200).json(&json!({
        "messaging_product": "whatsapp",
        "contacts": [{ "input": "+16505551234", "wa_id": "16505551234" }],
        "messages": [{ "id": "wamid.HBgL", "message_status": "accepted" }],
    })));
    let receipt = whatsapp.send(&message("disk full")).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id("wamid.HBgL").detail("status", "accepted"));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://graph.facebook.com/v23.0/106540352242922/messages");
    let bearer = format!("Bearer {}", placeholder(ACCESS_TOKEN));
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        request.json(),
        json!({
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": "+16505551234",
            "type": "text",
            "text": { "body": "disk full", "preview_url": true },
        })
    );
}

#[test]
fn version_and_address_can_be_others() {
    let options = json!({ "api_version": "v24.0", "api_base": "http://127.0.0.1:9/" });
    let (host, whatsapp) = whatsapp(&options);
    host.answer(answer(200));
    whatsapp.send(&message("x")).unwrap();
    assert_eq!(host.requests()[0].url, "http://127.0.0.1:9/v24.0/106540352242922/messages");
}

#[test]
fn only_a_number_with_its_country_is_a_target() {
    let (host, whatsapp) = whatsapp(&json!({}));
    host.answer(answer(200));
    let mut message = message("x");
    message.target = Some("491700000000".into());
    whatsapp.send(&message).unwrap();
    assert_eq!(host.requests()[0].json()["to"], "491700000000");
    for bad in ["+0155555555", "+1 650 555 1234", "123456", "+", "1234567890123456", "me"] {
        message.target = Some(bad.into());
        let error = whatsapp.send(&message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
    let (_, nobody) = self::whatsapp(&json!({ "to": null }));
    message.target = None;
    let error = nobody.send(&message).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "missing_target"));
}

#[test]
fn health_asks_for_the_number() {
    let (host, whatsapp) = whatsapp(&json!({}));
    let number = |quality| {
        answer(200).json(&json!({
            "display_phone_number": "+1 650-555-0111",
            "verified_name": "Acme",
            "quality_rating": quality,
            "id": "106540352242922",
        }))
    };
    host.answer(number("GREEN"))
        .answer(number("RED"))
        .answer(answer(401).json(&json!({ "error": { "code": 190, "message": "expired" } })));
    let reports = [(); 3].map(|()| whatsapp.health());
    use HealthStatus::{Degraded, Healthy, Unhealthy};
    assert_eq!(reports.clone().map(|report| report.status), [Healthy, Degraded, Unhealthy]);
    assert!(reports[0].detail.as_ref().unwrap().contains("+1 650-555-0111"));
    assert!(reports[2].detail.as_ref().unwrap().contains("190"));
    let url = &host.requests()[0].url;
    assert!(url.starts_with("https://graph.facebook.com/v23.0/106540352242922?fields="), "{url}");
}

#[test]
fn the_manifest_and_its_schema_are_as_narrow_as_the_cloud_api() {
    let manifest = manifest::<WhatsApp>();
    assert_eq!(manifest["name"], "whatsapp");
    assert_eq!(manifest["hosts"], json!(["https://graph.facebook.com", "option:api_base"]));
    assert_eq!(manifest["bodyMax"], body::TEXT_CHARACTERS_MAX);
    let schema = &manifest["optionsSchema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["phone_number_id"]));
    let template = &schema["$defs"]["TemplateOption"]["properties"];
    assert_eq!(template["name"]["pattern"], "^[a-z0-9_]{1,512}$");
}
