mod refusals;
mod shape;

use std::time::UNIX_EPOCH;

use conductor_sdk::{
    HealthStatus, json,
    testing::{FakeHost, answer, jwt_placeholder, manifest, message, placeholder, start},
};

use super::*;

const DEVICE: &str = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1";

fn fcm(more: &Value) -> (FakeHost, Fcm) {
    let host = FakeHost::install();
    // 2026-11-21 at 18:00 UTC.
    host.now(UNIX_EPOCH + Duration::from_secs(1_795_284_000)).secret(PRIVATE_KEY, "key");
    let mut options = json!({
        "project_id": "acme-app",
        "client_email": "push@acme-app.iam.gserviceaccount.com",
        "target": DEVICE,
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    (host, start(options).unwrap())
}

fn grant(host: &FakeHost) -> &FakeHost {
    host.answer(answer(200).json(&json!({
        "access_token": "ya29.secret", "expires_in": 3_599, "token_type": "Bearer",
    })))
}

#[test]
fn an_assertion_is_exchanged_for_a_token_that_the_host_keeps() {
    let (host, fcm) = fcm(&json!({}));
    let name = "projects/acme-app/messages/0:1500415314455276%31bd1c9631bd1c96";
    grant(&host).answer(answer(200).json(&json!({ "name": name })));
    let receipt = fcm.send(&message("disk full")).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id(name));

    let [exchange, post] = host.requests().try_into().unwrap();
    assert_eq!(exchange.url, "https://oauth2.googleapis.com/token");
    assert_eq!(
        exchange.text(),
        format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={}",
            jwt_placeholder(PRIVATE_KEY)
        )
    );
    let jwt = host.jwts().last().unwrap().clone();
    assert_eq!(jwt.secret, PRIVATE_KEY);
    assert_eq!(jwt.expires_after_ms, Some(3_600_000));
    assert_eq!(
        Value::Object(jwt.claims),
        json!({
            "iss": "push@acme-app.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": "https://oauth2.googleapis.com/token",
        })
    );

    assert_eq!(post.url, "https://fcm.googleapis.com/v1/projects/acme-app/messages:send");
    let bearer = format!("Bearer {}", placeholder(ACCESS_TOKEN));
    assert_eq!(post.header("authorization"), Some(bearer.as_str()));
    assert_eq!(host.kept(ACCESS_TOKEN).as_deref(), Some("ya29.secret"));
}

#[test]
fn a_token_serves_until_five_minutes_before_its_end() {
    let (host, fcm) = fcm(&json!({}));
    grant(&host).answer(answer(200)).answer(answer(200));
    fcm.send(&message("one")).unwrap();
    host.now(UNIX_EPOCH + Duration::from_secs(1_795_284_000 + 3_298));
    fcm.send(&message("two")).unwrap();
    assert_eq!(host.requests().len(), 3);

    host.now(UNIX_EPOCH + Duration::from_secs(1_795_284_000 + 3_300));
    grant(&host).answer(answer(200));
    fcm.send(&message("three")).unwrap();
    let urls: Vec<String> = host.requests().into_iter().map(|request| request.url).collect();
    assert_eq!(urls.iter().filter(|url| url.ends_with("/token")).count(), 2, "{urls:?}");
}

#[test]
fn api_and_token_server_can_be_elsewhere_and_the_assertion_stays_googles() {
    let (host, fcm) =
        fcm(&json!({ "api_base": "http://127.0.0.1:9/", "token_base": "http://127.0.0.1:8" }));
    grant(&host).answer(answer(200));
    fcm.send(&message("x")).unwrap();
    assert_eq!(host.requests()[0].url, "http://127.0.0.1:8/token");
    assert!(host.requests()[1].url.starts_with("http://127.0.0.1:9/v1/projects/"));
    assert_eq!(host.jwts()[0].claims["aud"], "https://oauth2.googleapis.com/token");
}

#[test]
fn without_a_key_the_channel_does_not_start() {
    let _host = FakeHost::install();
    let options = json!({ "project_id": "acme-app", "client_email": "a@b" });
    let failure = start::<Fcm>(options).err().unwrap();
    assert_eq!((failure.problem.code.as_str(), failure.temporary), ("missing_secret", false));
}

#[test]
fn health_asks_for_a_token() {
    let (host, fcm) = fcm(&json!({}));
    host.answer(answer(400).json(&json!({
        "error": "invalid_grant", "error_description": "Invalid JWT Signature.",
    })));
    grant(&host);
    let report = fcm.health();
    assert_eq!(report.status, HealthStatus::Unhealthy);
    assert!(report.detail.unwrap().contains("Invalid JWT Signature."));
    assert_eq!(fcm.health().status, HealthStatus::Healthy);
}

#[test]
fn the_manifest_names_googles_two_servers_and_the_key() {
    let manifest = manifest::<Fcm>();
    assert_eq!(manifest["name"], "push-fcm");
    assert_eq!(
        manifest["hosts"],
        json!([
            "https://fcm.googleapis.com",
            "https://oauth2.googleapis.com",
            "option:api_base",
            "option:token_base",
        ])
    );
    assert_eq!(manifest["secrets"][0]["required"], true);
    let schema = &manifest["optionsSchema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["project_id", "client_email"]));
    assert_eq!(schema["properties"]["ttl_s"]["maximum"], 2_419_200);
}
