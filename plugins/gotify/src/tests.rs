use conductor_sdk::{
    HealthStatus,
    http::HttpError,
    serde_json::Value,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn gotify(options: Value) -> (FakeHost, Gotify) {
    let host = FakeHost::install();
    host.secret(APP_TOKEN, "hush");
    let mut merged = json!({ "url": "https://push.example/gotify/" });
    for (name, value) in options.as_object().unwrap() {
        merged[name] = value.clone();
    }
    (host, start(merged).unwrap())
}

/// An error as Gotify writes it.
fn refusal(status: u16, description: &str) -> Answer {
    answer(status)
        .json(&json!({ "error": "no", "errorCode": status, "errorDescription": description }))
}

fn refused(answer: Answer) -> SendError {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer);
    gotify.send(&message("hello")).unwrap_err()
}

#[test]
fn a_message_is_posted_with_the_applications_token() {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer(200).json(&json!({ "id": 25, "appid": 5, "message": "hello" })));
    let mut message = message("**full**");
    message.title = Some("db-1".into());
    message.format = Format::Markdown;
    message.priority = Priority::High;
    assert_eq!(gotify.send(&message).unwrap(), Receipt::delivered().provider_id("25"));

    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://push.example/gotify/message");
    assert_eq!(request.header("x-gotify-key"), Some(placeholder(APP_TOKEN).as_str()));
    assert_eq!(
        request.json(),
        json!({
            "title": "db-1",
            "message": "**full**",
            "priority": 8,
            "extras": { "client::display": { "contentType": "text/markdown" } },
        })
    );
}

#[test]
fn plain_text_without_a_title_has_no_title_and_is_no_markdown() {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer(200));
    gotify.send(&message("2 * 3 * 4")).unwrap();
    let sent = host.requests()[0].json();
    assert_eq!(sent.get("title"), None);
    assert_eq!(sent["message"], "2 * 3 * 4");
    assert_eq!(sent["extras"]["client::display"]["contentType"], "text/plain");
}

#[test]
fn each_priority_has_a_number_and_the_options_another() {
    let numbers = |options| {
        let (host, gotify) = gotify(options);
        [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent].map(|priority| {
            host.answer(answer(200));
            let mut message = message("x");
            message.priority = priority;
            gotify.send(&message).unwrap();
            host.requests().last().unwrap().json()["priority"].as_u64().unwrap()
        })
    };
    assert_eq!(numbers(json!({})), [2, 5, 8, 10]);
    assert_eq!(numbers(json!({ "priorities": { "low": 0, "urgent": 9 } })), [0, 5, 8, 9]);
}

#[test]
fn what_is_gotifys_own_goes_into_the_extras() {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer(200));
    let mut message = message("x");
    message.data = json!({
        "ticket": 7,
        "gotify": {
            "click": "https://db-1.example/",
            "image": "https://db-1.example/graph.png",
            "extras": { "home::light::on": { "brightness": 15 } },
        },
    })
    .to_string();
    gotify.send(&message).unwrap();
    assert_eq!(
        host.requests()[0].json()["extras"],
        json!({
            "client::display": { "contentType": "text/plain" },
            "client::notification": {
                "click": { "url": "https://db-1.example/" },
                "bigImageUrl": "https://db-1.example/graph.png",
            },
            "home::light::on": { "brightness": 15 },
        })
    );
    message.data = json!({ "gotify": { "clik": "x" } }).to_string();
    let error = gotify.send(&message).unwrap_err();
    assert!(matches!(&error, SendError::Rejected(problem) if problem.detail.contains("clik")));
}

#[test]
fn a_wrong_token_or_address_stops_the_channel() {
    let words = "you need to provide a valid access token or user credentials to access this api";
    let outcome = refused(refusal(401, words));
    assert!(
        matches!(&outcome, SendError::Misconfigured(problem)
            if problem.code == "http_401" && problem.detail.contains(words)),
        "{outcome:?}"
    );
    for outcome in [refused(refusal(403, "no")), refused(answer(404).body("<html>"))] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn what_gotify_will_never_take_is_rejected() {
    for outcome in [refused(refusal(400, "Field 'message' is required")), refused(answer(413))] {
        assert!(matches!(outcome, SendError::Rejected(_)), "{outcome:?}");
    }
}

#[test]
fn a_passing_trouble_is_retried_and_a_missing_answer_is_unknown() {
    for outcome in [refused(refusal(500, "database")), refused(answer(502)), refused(answer(408))] {
        assert!(matches!(outcome, SendError::Retry(_)), "{outcome:?}");
    }
    let outcome = refused(answer(429).header("retry-after", "3"));
    assert!(matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(3_000)));

    let (host, gotify) = gotify(json!({}));
    host.fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(gotify.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(gotify.send(&message("x")), Err(SendError::Unknown(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_delivered() {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer(200).body("<html>"));
    assert_eq!(gotify.send(&message("x")).unwrap(), Receipt::delivered());
}

#[test]
fn health_asks_for_the_server_and_its_database() {
    let (host, gotify) = gotify(json!({}));
    host.answer(answer(200).json(&json!({ "health": "green", "database": "green" })))
        .answer(answer(500).json(&json!({ "health": "orange", "database": "red" })))
        .answer(answer(200).body("<html>"))
        .answer(answer(502));
    let found = [(); 4].map(|()| gotify.health());
    let statuses = found.clone().map(|report| report.status);
    use HealthStatus::{Degraded, Healthy, Unhealthy};
    assert_eq!(statuses, [Healthy, Unhealthy, Degraded, Unhealthy]);
    assert!(found[1].detail.as_ref().unwrap().contains("its database red"));
    assert_eq!(host.requests()[0].url, "https://push.example/gotify/health");
}

#[test]
fn the_manifest_names_the_token_and_the_operators_own_server() {
    let manifest = manifest::<Gotify>();
    assert_eq!(manifest["name"], "gotify");
    assert_eq!(manifest["hosts"], json!(["option:url"]));
    assert_eq!(manifest["secrets"][0]["required"], true);
    let schema = &manifest["optionsSchema"];
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["required"], json!(["url"]));
    assert_eq!(schema["$defs"]["Priorities"]["properties"]["low"]["maximum"], 10);
}
