mod refusals;
mod shape;

use conductor_sdk::{
    HealthStatus, json,
    serde_json::Value,
    testing::{FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

const CHANNEL: &str = "1099511627776";

fn bot() -> (FakeHost, Discord) {
    bot_with(json!({}))
}

fn bot_with(mut options: Value) -> (FakeHost, Discord) {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "hush");
    options["channel_id"] = json!(CHANNEL);
    (host, start(options).unwrap())
}

fn webhook() -> (FakeHost, Discord) {
    let host = FakeHost::install();
    host.secret(WEBHOOK_TOKEN, "hush");
    (host, start(json!({ "webhook_id": "42", "thread_id": "7" })).unwrap())
}

/// The body of what a channel with these options sends for this message.
fn sent(options: Value, message: &Message) -> Result<Value, SendError> {
    let (host, discord) = bot_with(options);
    host.answer(answer(200).json(&json!({ "id": "1" })));
    discord.send(message)?;
    Ok(host.requests()[0].json())
}

#[test]
fn a_bot_posts_into_the_default_channel() {
    let (host, discord) = bot();
    host.answer(answer(200).json(&json!({ "id": "555", "channel_id": CHANNEL })));
    let receipt = discord.send(&message("hello")).unwrap();
    assert_eq!(receipt, Receipt::delivered().provider_id("555").detail("channel_id", CHANNEL));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://discord.com/api/v10/channels/1099511627776/messages");
    assert_eq!(
        request.header("authorization"),
        Some(format!("Bot {}", placeholder(BOT_TOKEN)).as_str())
    );
    assert!(request.header("user-agent").unwrap().starts_with("DiscordBot ("));
    let nonce = message("hello").short_part_key(0);
    assert_eq!(
        request.json(),
        json!({
            "content": "hello",
            "allowed_mentions": { "parse": [] },
            "nonce": nonce,
            "enforce_nonce": true,
        })
    );
}

#[test]
fn a_notification_may_name_another_channel_but_nothing_that_is_no_id() {
    let (host, discord) = bot();
    host.answer(answer(200));
    let mut message = message("hello");
    message.target = Some("77".into());
    discord.send(&message).unwrap();
    assert!(host.requests()[0].url.ends_with("/channels/77/messages"));

    for bad in ["general", "77/../88", "7 7", "٧", "077", "00", &"7".repeat(21)] {
        message.target = Some((*bad).into());
        let error = discord.send(&message).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn without_any_target_a_bots_message_is_rejected() {
    FakeHost::install().secret(BOT_TOKEN, "hush");
    let discord: Discord = start(json!({})).unwrap();
    let error = discord.send(&message("hello")).unwrap_err();
    assert!(matches!(error, SendError::Rejected(problem) if problem.code == "missing_target"));
}

#[test]
fn a_webhook_waits_for_the_message_and_has_no_nonce() {
    let (host, discord) = webhook();
    host.answer(answer(200).json(&json!({ "id": "9" }))).answer(answer(204));
    assert_eq!(discord.send(&message("hello")).unwrap(), Receipt::delivered().provider_id("9"));
    let mut other = message("hello");
    other.target = Some("8".into());
    assert_eq!(discord.send(&other).unwrap(), Receipt::delivered());

    let requests = host.requests();
    let token = placeholder(WEBHOOK_TOKEN);
    let base = format!("https://discord.com/api/v10/webhooks/42/{token}");
    assert_eq!(requests[0].url, format!("{base}?wait=true&thread_id=7"));
    assert_eq!(requests[1].url, format!("{base}?wait=true&thread_id=8"));
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(
        requests[0].json(),
        json!({ "content": "hello", "allowed_mentions": { "parse": [] } })
    );
}

#[test]
fn each_mode_needs_its_secret() {
    let host = FakeHost::install();
    host.secret(WEBHOOK_TOKEN, "hush");
    assert!(start::<Discord>(json!({})).is_err_and(|failure| !failure.temporary));
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "hush");
    assert!(start::<Discord>(json!({ "webhook_id": "42" })).is_err());
}

#[test]
fn the_api_can_be_elsewhere() {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "hush").answer(answer(200));
    let discord: Discord =
        start(json!({ "channel_id": "1", "api_base": "http://127.0.0.1:9/api/" })).unwrap();
    discord.send(&message("hello")).unwrap();
    assert_eq!(host.requests()[0].url, "http://127.0.0.1:9/api/channels/1/messages");
}

#[test]
fn health_asks_who_the_credential_is() {
    let (host, discord) = bot();
    host.answer(answer(200).json(&json!({ "username": "beeper" })))
        .answer(answer(401).json(&json!({ "code": 0, "message": "401: Unauthorized" })));
    let report = discord.health();
    assert_eq!(report.status, HealthStatus::Healthy);
    assert!(report.detail.unwrap().contains("beeper"));
    let report = discord.health();
    assert_eq!(report.status, HealthStatus::Unhealthy);
    assert!(report.detail.unwrap().contains("401: Unauthorized"));
    assert_eq!(host.requests()[0].method, "GET");
    assert!(host.requests()[0].url.ends_with("/api/v10/users/@me"));

    let (host, discord) = webhook();
    host.answer(answer(200).json(&json!({ "name": "Alerts" })));
    assert_eq!(discord.health().status, HealthStatus::Healthy);
    let url = &host.requests()[0].url;
    assert!(url.ends_with(&format!("/webhooks/42/{}", placeholder(WEBHOOK_TOKEN))), "{url}");
}

#[test]
fn the_manifest_names_both_secrets_and_discord_alone() {
    let manifest = manifest::<Discord>();
    assert_eq!(manifest["name"], "discord");
    assert_eq!(manifest["hosts"], json!(["https://discord.com", "option:api_base"]));
    assert_eq!(manifest["secrets"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
}
