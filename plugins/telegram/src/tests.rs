use conductor_sdk::{
    HealthStatus, RetryScope,
    http::HttpError,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn bot_with(mut options: Value) -> (FakeHost, Telegram) {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "1:hush");
    options["chat_id"] = json!("-1001234567890");
    (host, start(options).unwrap())
}

fn bot() -> (FakeHost, Telegram) {
    bot_with(json!({}))
}

fn sent() -> Answer {
    answer(200).json(&json!({ "ok": true, "result": { "message_id": 77 } }))
}

fn refused(answer: Answer) -> SendError {
    let (host, telegram) = bot();
    host.answer(answer);
    telegram.send(&message("hello")).unwrap_err()
}

fn refused_with(status: u16, description: &str) -> SendError {
    refused(
        answer(status)
            .json(&json!({ "ok": false, "error_code": status, "description": description })),
    )
}

#[test]
fn a_message_goes_to_the_default_chat() {
    let (host, telegram) = bot();
    host.answer(sent());
    assert_eq!(telegram.send(&message("*a* <b>")).unwrap(), Receipt::delivered().provider_id("77"));
    let [request] = host.requests().try_into().unwrap();
    let token = placeholder(BOT_TOKEN);
    assert_eq!(request.url, format!("https://api.telegram.org/bot{token}/sendMessage"));
    assert_eq!(
        request.json(),
        json!({
            "chat_id": "-1001234567890",
            "text": "*a* <b>",
            "entities": [],
            "disable_notification": false,
            "link_preview_options": { "is_disabled": true },
        })
    );
}

#[test]
fn entities_are_counted_in_utf_16() {
    let (host, telegram) = bot();
    host.answer(sent());
    let mut message = message("😀 **b** [l](https://x.example/)\n```rust\nlet x;\n```");
    message.format = Format::Markdown;
    message.title = Some("😀".into());
    telegram.send(&message).unwrap();
    let body = host.requests()[0].json();
    assert_eq!(body["text"], "😀\n😀 b l\n\nlet x;");
    assert_eq!(
        body["entities"],
        json!([
            { "type": "bold", "offset": 0, "length": 2 },
            { "type": "bold", "offset": 6, "length": 1 },
            { "type": "text_link", "offset": 8, "length": 1, "url": "https://x.example/" },
            { "type": "pre", "offset": 11, "length": 6, "language": "rust" },
        ])
    );
}

#[test]
fn options_and_priority_have_their_fields() {
    let options = json!({ "message_thread_id": 5, "protect_content": true, "link_preview": true });
    let (host, telegram) = bot_with(options);
    host.answer(sent());
    telegram.send(&Message { priority: Priority::Low, ..message("x") }).unwrap();
    let body = host.requests()[0].json();
    assert_eq!(body["message_thread_id"], 5);
    assert_eq!(body["protect_content"], true);
    assert_eq!(body["disable_notification"], true);
    assert_eq!(body["link_preview_options"]["is_disabled"], false);
}

#[test]
fn a_target_is_a_chat() {
    let (host, telegram) = bot();
    let mut message = message("x");
    for good in ["42", "-100987", "@durov_channel"] {
        host.answer(sent());
        message.target = Some(good.to_owned());
        telegram.send(&message).unwrap();
    }
    assert_eq!(host.requests()[2].json()["chat_id"], "@durov_channel");
    for bad in ["0", "+1", "a", "@a b", "@x", "1 2", "99999999999999999999"] {
        message.target = Some(bad.to_owned());
        assert_eq!(telegram.send(&message).unwrap_err().problem().code, "invalid_target", "{bad}");
    }
}

#[test]
fn a_long_message_is_rejected_cut_or_split() {
    // Each takes two units.
    let long = "😀".repeat(2_049);
    let (_host, telegram) = bot();
    assert_eq!(telegram.send(&message(&long)).unwrap_err().problem().code, "too_long");
    let (host, telegram) = bot_with(json!({ "overflow": "truncate" }));
    host.answer(sent());
    telegram.send(&message(&long)).unwrap();
    let text = host.requests()[0].json()["text"].as_str().unwrap().to_owned();
    assert_eq!(text.chars().count(), 2_048);
    assert!(text.ends_with("😀…"));
    let (host, telegram) = bot_with(json!({ "overflow": "split" }));
    host.answer(sent()).answer(sent());
    let receipt = telegram.send(&message(&long)).unwrap();
    assert_eq!(receipt, Receipt::delivered().provider_id("77").detail("parts", 2));
    let fits = "😀".repeat(2_048);
    host.answer(sent());
    assert!(telegram.send(&message(&fits)).is_ok());
}

#[test]
fn what_telegram_will_never_take_is_rejected() {
    for (status, description, code) in [
        (400, "Bad Request: chat not found", "chat_not_found"),
        (400, "Bad Request: message text is empty", "message_text_is_empty"),
        (400, "Bad Request: can't parse entities: x", "http_400"),
        (403, "Forbidden: bot was blocked by the user", "bot_was_blocked"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "bot_was_kicked"),
        (403, "Forbidden: user is deactivated", "user_is_deactivated"),
        (403, "Forbidden: bot can't send messages to the user", "http_403"),
    ] {
        let outcome = refused_with(status, description);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_group_that_moved_says_where_to() {
    let outcome = refused(answer(400).json(&json!({
        "ok": false,
        "error_code": 400,
        "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": { "migrate_to_chat_id": -1009876543210_i64 },
    })));
    assert!(
        matches!(&outcome, SendError::Moved(moved) if moved.target == "-1009876543210"),
        "{outcome:?}"
    );
}

#[test]
fn a_wrong_token_stops_the_channel() {
    for (status, description) in [(401, "Unauthorized"), (404, "Not Found")] {
        assert!(matches!(refused_with(status, description), SendError::Misconfigured(_)));
    }
}

#[test]
fn a_rate_limit_waits_for_the_longer_of_header_and_body() {
    let body = json!({
        "ok": false,
        "error_code": 429,
        "description": "Too Many Requests: retry after 14",
        "parameters": { "retry_after": 14 },
    });
    for (header, after_ms) in [("3", 14_000), ("20", 20_000)] {
        let outcome = refused(answer(429).header("retry-after", header).json(&body));
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.after_ms == Some(after_ms) && retry.scope == RetryScope::Destination),
            "{outcome:?}"
        );
    }
    assert!(matches!(refused(answer(502).body("<html>")), SendError::Retry(_)));
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let (host, telegram) = bot();
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(telegram.send(&message("x")), Err(SendError::Unknown(_))));
    host.answer(answer(200).body("<html>"));
    assert_eq!(telegram.send(&message("x")).unwrap(), Receipt::delivered());
}

#[test]
fn health_asks_whose_token_it_is() {
    let (host, telegram) = bot();
    host.answer(answer(200).json(&json!({ "ok": true, "result": { "username": "beeper_bot" } })))
        .answer(answer(401).json(&json!({ "ok": false, "description": "Unauthorized" })));
    let detail = telegram.health().detail;
    assert_eq!(detail.as_deref(), Some("Telegram knows the token as @beeper_bot"));
    assert_eq!(telegram.health().status, HealthStatus::Unhealthy);
    assert!(host.requests()[0].url.ends_with("/getMe"));
}

#[test]
fn the_manifest_says_what_the_channel_needs() {
    let manifest = manifest::<Telegram>();
    assert_eq!(manifest["name"], "telegram");
    assert_eq!(manifest["secrets"][0]["required"], true);
    assert!(start::<Telegram>(json!({ "chat": "1" })).is_err());
}
