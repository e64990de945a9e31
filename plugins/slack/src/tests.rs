use conductor_sdk::{
    HealthStatus, RetryScope,
    http::HttpError,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn bot_with(mut options: Value) -> (FakeHost, Slack) {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "xoxb-hush");
    options["channel"] = json!("C0123456789");
    (host, start(options).unwrap())
}

fn bot() -> (FakeHost, Slack) {
    bot_with(json!({}))
}

fn webhook() -> (FakeHost, Slack) {
    let host = FakeHost::install();
    host.secret(WEBHOOK_PATH, "T0/B0/hush");
    (host, start(json!({})).unwrap())
}

fn posted() -> Answer {
    answer(200).json(&json!({ "ok": true, "channel": "C0123456789", "ts": "1503435956.000247" }))
}

fn markdown(body: &str) -> Message {
    Message { format: Format::Markdown, ..message(body) }
}

#[test]
fn a_bot_posts_into_the_default_channel() {
    let (host, slack) = bot();
    host.answer(posted());
    let receipt = slack.send(&message("a < b & *c*")).unwrap();
    let expected = Receipt::delivered().provider_id("1503435956.000247");
    assert_eq!(receipt, expected.detail("channel", "C0123456789"));
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.url, "https://slack.com/api/chat.postMessage");
    let bearer = format!("Bearer {}", placeholder(BOT_TOKEN));
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        request.json(),
        json!({
            "channel": "C0123456789",
            "text": "a &lt; b &amp; *c*",
            "mrkdwn": false,
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
}

#[test]
fn a_notification_may_name_another_channel() {
    let (host, slack) = bot();
    host.answer(posted());
    let mut other = message("hello");
    other.target = Some("U42".into());
    slack.send(&other).unwrap();
    assert_eq!(host.requests()[0].json()["channel"], "U42");
}

#[test]
fn markdown_becomes_mrkdwn() {
    let (host, slack) = bot();
    host.answer(posted());
    let mut message = markdown(
        "# Head\n**b** *i* ~~s~~ `a<b` [l](https://x.example/?a=1&b=2)\n\n> q\n> r\n\n```sh\nls\n```\n- <!channel>",
    );
    message.title = Some("db".into());
    slack.send(&message).unwrap();
    let body = host.requests()[0].json();
    assert_eq!(body["mrkdwn"], true);
    assert_eq!(
        body["text"],
        "*db*\n*Head*\n\n*b* _i_ ~s~ `a&lt;b` <https://x.example/?a=1&amp;b=2|l>\n\n> q\n> r\n\n\
         ```\nls\n```\n\n• &lt;!channel&gt;"
    );
}

#[test]
fn a_webhook_is_its_own_credential() {
    let (host, slack) = webhook();
    host.answer(answer(200).body("ok"));
    assert_eq!(slack.send(&message("hello")).unwrap(), Receipt::delivered());
    let [request] = host.requests().try_into().unwrap();
    let path = placeholder(WEBHOOK_PATH);
    assert_eq!(request.url, format!("https://hooks.slack.com/services/{path}"));
    assert_eq!(request.json()["text"], "hello");

    let mut targeted = message("hello");
    targeted.target = Some("C1".into());
    assert_eq!(slack.send(&targeted).unwrap_err().problem().code, "no_targets");
}

#[test]
fn one_of_the_two_secrets_is_needed() {
    let host = FakeHost::install();
    assert!(start::<Slack>(json!({})).is_err_and(|failure| !failure.temporary));
    host.secret(BOT_TOKEN, "a").secret(WEBHOOK_PATH, "b");
    assert!(start::<Slack>(json!({})).is_err());
    let (_host, _slack) = webhook();
    assert!(start::<Slack>(json!({ "channel": "C1" })).is_err());
    assert!(start::<Slack>(json!({ "chanel": "C1" })).is_err());
}

#[test]
fn a_bar_has_the_colour_of_the_priority() {
    let (host, slack) = bot_with(json!({ "priority_bar": true }));
    host.answer(posted());
    slack.send(&Message { priority: Priority::Urgent, ..message("x") }).unwrap();
    let body = host.requests()[0].json();
    assert_eq!(
        body["attachments"],
        json!([{ "text": "x", "fallback": "x", "color": "danger", "mrkdwn_in": [] }])
    );
    assert_eq!(body.get("text"), None);
}

#[test]
fn a_long_message_is_rejected_cut_or_split() {
    let long = "word & ".repeat(1_000);
    let (_host, slack) = bot();
    assert_eq!(slack.send(&message(&long)).unwrap_err().problem().code, "too_long");

    let (host, slack) = bot_with(json!({ "overflow": "truncate" }));
    host.answer(posted());
    slack.send(&message(&long)).unwrap();
    let text = host.requests()[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.chars().count() <= 4_000 && text.ends_with('…'), "{text}");

    let (host, slack) = bot_with(json!({ "overflow": "split" }));
    host.answer(posted()).answer(posted()).answer(posted());
    let receipt = slack.send(&message(&long)).unwrap();
    assert_eq!(receipt.details, [("parts".to_owned(), "3".to_owned())]);
    for request in host.requests() {
        let text = request.json()["text"].as_str().unwrap().trim_end().to_owned();
        assert!(text.chars().count() <= 4_000, "{text}");
        assert!(text.ends_with("&amp;") || text.ends_with("word"), "{text}");
    }
}

fn refused(answer: Answer) -> SendError {
    let (host, slack) = bot();
    host.answer(answer);
    slack.send(&message("hello")).unwrap_err()
}

fn refused_with(word: &str) -> SendError {
    refused(answer(200).json(&json!({ "ok": false, "error": word })))
}

#[test]
fn an_error_in_a_200_is_an_error() {
    for word in ["channel_not_found", "not_in_channel", "is_archived", "msg_too_long", "whatever"] {
        let outcome = refused_with(word);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == word),
            "{outcome:?}"
        );
    }
    for word in ["invalid_auth", "token_revoked", "missing_scope", "account_inactive"] {
        assert!(matches!(refused_with(word), SendError::Misconfigured(_)), "{word}");
    }
    for word in ["service_unavailable", "request_timeout"] {
        assert!(matches!(refused_with(word), SendError::Retry(_)), "{word}");
    }
    for word in ["internal_error", "fatal_error"] {
        assert!(matches!(refused_with(word), SendError::Unknown(_)), "{word}");
    }
    let outcome = refused(
        answer(200).json(&json!({ "ok": false, "error": "missing_scope", "needed": "chat:write" })),
    );
    assert!(outcome.problem().detail.contains("chat:write"), "{outcome:?}");
    assert!(matches!(refused(answer(200).body("<html>")), SendError::Unknown(_)));
}

#[test]
fn a_rate_limit_holds_back_its_channel_for_the_time_that_slack_says() {
    let limited = json!({ "ok": false, "error": "ratelimited" });
    for status in [200, 429] {
        let outcome = refused(answer(status).header("retry-after", "30").json(&limited));
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.after_ms == Some(30_000) && retry.scope == RetryScope::Destination),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_status_counts_where_there_is_no_word() {
    assert!(matches!(refused(answer(500)), SendError::Retry(_)));
    assert!(matches!(refused(answer(503).body("<html>")), SendError::Retry(_)));
    assert!(matches!(refused(answer(404)), SendError::Rejected(_)));
}

#[test]
fn a_webhooks_word_says_what_is_wrong() {
    let refused = |status: u16, body: &str| {
        let (host, slack) = webhook();
        host.answer(answer(status).header("retry-after", "1").body(body));
        slack.send(&message("hello")).unwrap_err()
    };
    assert!(matches!(refused(400, "invalid_payload"), SendError::Rejected(_)));
    assert!(matches!(refused(400, "no_text"), SendError::Rejected(_)));
    for (status, word) in [
        (404, "no_service"),
        (403, "invalid_token"),
        (404, "channel_not_found"),
        (410, "channel_is_archived"),
        (403, "action_prohibited"),
        (404, "<html>"),
    ] {
        assert!(matches!(refused(status, word), SendError::Misconfigured(_)), "{word}");
    }
    assert!(matches!(refused(500, "rollup_error"), SendError::Retry(_)));
    let outcome = refused(429, "{\"retry_after\":1,\"ok\":false,\"error\":\"rate_limited\"}");
    assert!(matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(1_000)));
    assert!(matches!(refused(503, ""), SendError::Retry(_)));
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let (host, slack) = bot();
    host.fail(HttpError::NoAnswer("timed out".into())).fail(HttpError::Unreachable("no".into()));
    assert!(matches!(slack.send(&message("x")), Err(SendError::Unknown(_))));
    assert!(matches!(slack.send(&message("x")), Err(SendError::Retry(_))));
}

#[test]
fn health_asks_whose_token_it_is() {
    let (host, slack) = bot();
    host.answer(answer(200).json(&json!({ "ok": true, "user": "beeper", "team": "Acme" })))
        .answer(answer(200).json(&json!({ "ok": false, "error": "invalid_auth" })));
    assert_eq!(slack.health().detail.as_deref(), Some("Slack knows the token as beeper of Acme"));
    assert_eq!(slack.health().status, HealthStatus::Unhealthy);
    assert_eq!(host.requests()[0].url, "https://slack.com/api/auth.test");
    assert_eq!(webhook().1.health().status, HealthStatus::Healthy);
}

#[test]
fn the_manifest_says_what_the_channel_needs() {
    let manifest = manifest::<Slack>();
    assert_eq!(manifest["name"], "slack");
    assert_eq!(manifest["bodyMax"], 4_000);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
}
