use conductor_sdk::testing::{FakeHost, answer, message, placeholder, start};

use super::*;

fn channel(overflow: &str) -> (FakeHost, Template) {
    let host = FakeHost::install();
    host.secret("WEBHOOK_KEY", "hush");
    (host, start(json!({ "url": "https://chat.example/hooks", "overflow": overflow })).unwrap())
}

#[test]
fn a_message_is_posted_to_the_webhook() {
    let (host, channel) = channel("reject");
    host.answer(answer(200));
    assert_eq!(channel.send(&message("hello")).unwrap(), Receipt::delivered());
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.url, format!("https://chat.example/hooks/{}", placeholder("WEBHOOK_KEY")));
    assert_eq!(request.json(), json!({ "text": "hello" }));
}

#[test]
fn a_webhook_that_is_gone_stops_the_channel() {
    let (host, channel) = channel("reject");
    host.answer(answer(410)).answer(answer(503));
    assert!(matches!(channel.send(&message("x")), Err(SendError::Misconfigured(_))));
    assert!(matches!(channel.send(&message("x")), Err(SendError::Retry(_))));
}

#[test]
fn a_long_message_is_split() {
    let (host, channel) = channel("split");
    host.answer(answer(200)).answer(answer(200));
    channel.send(&message(&"word ".repeat(500))).unwrap();
    assert_eq!(host.requests().len(), 2);
}
