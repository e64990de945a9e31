//! What a provider can do, and what is right to follow.

use std::time::Duration;

use serde_json::json;

use super::server::{Trick, answer};

/// Through which channel it is reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Via {
    /// The receiver drops duplicates.
    Webhook,
    /// The receiver does not.
    DiscordHook,
    /// The receiver drops duplicates, and says what it wants in JSON.
    DiscordBot,
}

/// What is right.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// It was a success.
    Delivered,
    /// Sent again, but not before, until it is delivered.
    Again { after: Duration },
    /// The same, and longer than a test waits.
    NotBefore { after: Duration },
    /// Given up at once.
    Dead,
}

#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) via: Via,
    pub(super) trick: Trick,
    /// How many messages get this treatment.
    pub(super) times: usize,
    /// The word in the record of the attempt, and the code.
    pub(super) outcome: &'static str,
    pub(super) code: &'static str,
    pub(super) next: Next,
    /// Whether a replay can work while the channel's configuration is what it is.
    pub(super) replay: bool,
}

/// At once, but for the channel's own pause (100 ms, of which jitter leaves 80 at least).
const SOON: Next = Next::Again { after: Duration::from_millis(80) };

const fn after_ms(ms: u64) -> Next {
    Next::Again { after: Duration::from_millis(ms) }
}

fn case(
    name: &'static str,
    via: Via,
    trick: Trick,
    (outcome, code): (&'static str, &'static str),
    next: Next,
) -> Case {
    Case { name, via, trick, times: 1, outcome, code, next, replay: true }
}

pub(super) fn all(elsewhere: &str) -> Vec<Case> {
    [limits(), statuses(elsewhere), below_http(), discord()].into_iter().flatten().collect()
}

/// 429 in every spelling. None is ever shortened.
fn limits() -> Vec<Case> {
    let limited = |headers: &[&str], body: &str| {
        Trick::Answer(answer("429 Too Many Requests", headers, body))
    };
    let retry = ("retry", "http_429");
    // A date has whole seconds: what is left of this one is lost.
    let date = |seconds: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
        at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    let webhook =
        |name, headers: &[&str], next| case(name, Via::Webhook, limited(headers, ""), retry, next);
    let long = Next::NotBefore { after: Duration::from_secs(599) };
    let discord = |name, headers: &[&str], wait: f64, next| {
        let body =
            json!({"message": "You are being rate limited.", "retry_after": wait, "global": false});
        case(name, Via::DiscordHook, limited(headers, &body.to_string()), retry, next)
    };
    vec![
        webhook("wait-seconds", &["retry-after: 2"], after_ms(2_000)),
        webhook("wait-float", &["retry-after: 1.5"], after_ms(1_500)),
        webhook("wait-nothing-said", &[], SOON),
        webhook("wait-nonsense", &["retry-after: soon"], SOON),
        webhook("wait-negative", &["retry-after: -5"], SOON),
        webhook("wait-long", &["retry-after: 600"], long),
        webhook("wait-date", &[&format!("retry-after: {}", date(600 + 1))], long),
        discord("wait-in-the-body", &[], 1.25, after_ms(1_250)),
        discord("wait-longer-in-the-body", &["retry-after: 1"], 1.75, after_ms(1_750)),
        discord("wait-longer-in-the-header", &["retry-after: 2"], 0.25, after_ms(2_000)),
    ]
}

fn statuses(elsewhere: &str) -> Vec<Case> {
    let webhook = |name, status: &str, headers: &[&str], told, next| {
        case(name, Via::Webhook, Trick::Answer(answer(status, headers, "oh")), told, next)
    };
    let location = format!("location: {elsewhere}");
    let mut cases = vec![
        webhook("created", "201 Created", &[], ("delivered", ""), Next::Delivered),
        webhook("no-content", "204 No Content", &[], ("delivered", ""), Next::Delivered),
        webhook("error-500", "500 Internal Server Error", &[], ("retry", "http_500"), SOON),
        webhook("error-502", "502 Bad Gateway", &[], ("retry", "http_502"), SOON),
        webhook(
            "error-503",
            "503 Service Unavailable",
            &["retry-after: 1"],
            ("retry", "http_503"),
            after_ms(1_000),
        ),
        webhook("error-504", "504 Gateway Timeout", &[], ("retry", "http_504"), SOON),
        webhook("refused-400", "400 Bad Request", &[], ("rejected", "http_400"), Next::Dead),
        webhook("missing-404", "404 Not Found", &[], ("rejected", "http_404"), Next::Dead),
        webhook(
            "too-large-413",
            "413 Content Too Large",
            &[],
            ("rejected", "http_413"),
            Next::Dead,
        ),
    ];
    for (name, status, code) in [
        ("moved-301", "301 Moved Permanently", "http_301"),
        ("found-302", "302 Found", "http_302"),
        ("same-method-307", "307 Temporary Redirect", "http_307"),
        ("same-method-308", "308 Permanent Redirect", "http_308"),
    ] {
        cases.push(webhook(name, status, &[&location], ("rejected", code), Next::Dead));
    }
    let gone = webhook("gone-410", "410 Gone", &[], ("misconfigured", "http_410"), Next::Dead);
    cases.push(Case { replay: false, ..gone });
    // Whatever it says in its body: by the channel's own convention any 2xx is taken.
    let text =
        answer("200 OK", &["content-type: application/json"], r#"{"error":"no","ok":false}"#);
    let inside = Trick::Answer(text);
    cases.push(case("error-in-a-200", Via::Webhook, inside, ("delivered", ""), Next::Delivered));
    cases
}

/// What breaks HTTP itself. The request has left, so nobody knows whether it was taken.
fn below_http() -> Vec<Case> {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n";
    const BODY_BEGUN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome of it";
    const HUGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\nsome of it";
    const PIECES: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let no_answer = ("unknown", "no_answer");
    let too_large = ("unknown", "answer_too_large");
    let second = Duration::from_secs(1);
    let headers = (0..400).map(|n| format!("x-{n}: {}\r\n", "y".repeat(200))).collect::<String>();
    let webhook = |name, trick, told| case(name, Via::Webhook, trick, told, SOON);
    let mut cases = vec![
        webhook("reset-at-once", Trick::Reset(""), no_answer),
        webhook("reset-in-the-head", Trick::Reset(HEAD), no_answer),
        webhook("reset-in-the-body", Trick::Reset(BODY_BEGUN), no_answer),
        webhook("end-at-once", Trick::Answer(String::new()), no_answer),
        webhook("end-in-the-body", Trick::Answer(BODY_BEGUN.to_owned()), no_answer),
        webhook("not-http", Trick::Answer(String::from("SSH-2.0-OpenSSH_9.9\r\n\r\n")), no_answer),
        webhook("silent", Trick::Silence(""), no_answer),
        webhook("silent-in-the-body", Trick::Silence(BODY_BEGUN), no_answer),
        webhook("dripping-head", Trick::Drip(HEAD, second), no_answer),
        webhook("dripping-body", Trick::Drip(BODY_BEGUN, second), no_answer),
        webhook("oversize-announced", Trick::Silence(HUGE), too_large),
        webhook("oversize-in-pieces", Trick::Flood(PIECES), too_large),
        webhook("oversize-head", Trick::Answer(format!("{HEAD}{headers}\r\n")), too_large),
    ];
    // The same where a second message would be seen twice: then it is not sent again.
    cases.push(case(
        "reset-no-duplicates",
        Via::DiscordHook,
        Trick::Reset(""),
        no_answer,
        Next::Dead,
    ));
    let bot = ("retry", "no_answer");
    cases.push(case("reset-with-a-nonce", Via::DiscordBot, Trick::Reset(BODY_BEGUN), bot, SOON));
    cases
}

/// Errors inside of JSON: its own code says more than the status.
fn discord() -> Vec<Case> {
    let told = |status: &str, code: u32| {
        let body = json!({"code": code, "message": "no"}).to_string();
        Trick::Answer(answer(status, &["content-type: application/json"], &body))
    };
    let hook = |name, trick, told, next| case(name, Via::DiscordHook, trick, told, next);
    let unknown_hook = hook(
        "discord-hook-unknown",
        told("404 Not Found", 10_015),
        ("misconfigured", "10015"),
        Next::Dead,
    );
    let no_token = told("401 Unauthorized", 0);
    let no_token = case(
        "discord-no-token",
        Via::DiscordBot,
        no_token,
        ("misconfigured", "http_401"),
        Next::Dead,
    );
    let not_json = Trick::Answer(answer("200 OK", &[], "<html>welcome</html>"));
    vec![
        hook("discord-slow-mode", told("400 Bad Request", 20_016), ("retry", "20016"), SOON),
        hook(
            "discord-wrong-form",
            told("400 Bad Request", 50_035),
            ("rejected", "50035"),
            Next::Dead,
        ),
        hook("discord-200-no-json", not_json, ("delivered", ""), Next::Delivered),
        Case { replay: false, ..unknown_hook },
        Case { replay: false, ..no_token },
    ]
}
