//! The channel against a gateway of the fake host.

use std::{cell::RefCell, rc::Rc, time::Duration};

use conductor_sdk::{
    AsyncChannel as _, HealthStatus, Receipt, RunEnd, SendError,
    connection::SESSION,
    http::HttpError,
    serde_json, state, task,
    testing::{
        FakeHost, Heard, Said, answer, block_on, manifest_async, message, placeholder, start_async,
    },
};

use super::{Value, json};
use crate::{BOT_TOKEN, DiscordGateway};

const PLACE: &str = "wss://gateway.discord.gg/?v=10&encoding=json";

fn channel(options: Value) -> (FakeHost, DiscordGateway) {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "hush");
    (host, start_async(options).unwrap())
}

fn place(host: &FakeHost, remaining: u32) {
    host.answer(answer(200).json(&json!({
        "url": "wss://gateway.discord.gg/",
        "session_start_limit": { "remaining": remaining, "reset_after": 60_000 },
    })));
}

/// Lets the connection live for so long.
fn run(channel: &DiscordGateway, time: Duration) {
    assert!(block_on(task::timeout(time, channel.run())).is_none(), "it does not end");
}

/// A gateway that answers what a channel says, and everything that the channel said.
fn gateway(
    host: &FakeHost,
    mut answers: impl FnMut(usize, &Value) -> Vec<Value> + 'static,
) -> Rc<RefCell<Vec<Said>>> {
    let said = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&said);
    let mut connections = 0;
    host.websocket(move |what| {
        log.borrow_mut().push(what.clone());
        let heard = match what {
            Said::Connects(_) => {
                connections += 1;
                vec![json!({ "op": 10, "d": { "heartbeat_interval": 10_000 } })]
            }
            Said::Text(text) => {
                let payload: Value = serde_json::from_str(&text).unwrap();
                answers(connections, &payload)
            }
            Said::Closes(_) => Vec::new(),
        };
        heard.into_iter().map(|payload| Heard::Text(payload.to_string())).collect()
    });
    said
}

fn ready() -> Value {
    json!({ "op": 0, "t": "READY", "s": 1, "d": {
        "session_id": "abc",
        "resume_gateway_url": "wss://gateway-1.discord.gg",
        "user": { "username": "beeper" },
    }})
}

/// Says what Discord says to each opcode, as long as all is well.
fn friendly(_connection: usize, payload: &Value) -> Vec<Value> {
    match payload["op"].as_u64() {
        Some(1) => vec![json!({ "op": 11 })],
        Some(2) => vec![ready()],
        Some(6) => vec![json!({ "op": 0, "t": "RESUMED", "s": 2, "d": {} })],
        _ => Vec::new(),
    }
}

fn texts(said: &Rc<RefCell<Vec<Said>>>, op: u64) -> Vec<Value> {
    let said = said.borrow();
    let texts = said.iter().filter_map(|what| match what {
        Said::Text(text) => serde_json::from_str::<Value>(text).ok(),
        _ => None,
    });
    texts.filter(|payload| payload["op"] == op).collect()
}

fn connects(said: &Rc<RefCell<Vec<Said>>>) -> Vec<String> {
    let said = said.borrow();
    let urls = said.iter().filter_map(|what| match what {
        Said::Connects(url) => Some(url.clone()),
        _ => None,
    });
    urls.collect()
}

#[test]
fn it_is_online_with_the_status_of_the_options_and_beats() {
    let (host, channel) =
        channel(json!({ "channel_id": "1", "status": "idle", "activity": "on call" }));
    place(&host, 900);
    let said = gateway(&host, friendly);
    run(&channel, Duration::from_secs(60));
    assert_eq!(host.requests()[0].url, "https://discord.com/api/v10/gateway/bot");
    assert_eq!(connects(&said), [PLACE]);
    let identify = &texts(&said, 2)[0]["d"];
    assert_eq!(identify["token"], placeholder(BOT_TOKEN));
    assert_eq!(identify["intents"], 0);
    assert_eq!(identify["presence"]["status"], "idle");
    assert_eq!(identify["presence"]["activities"][0]["state"], "on call");
    assert!((5..=6).contains(&texts(&said, 1).len()), "{said:?}");
    let health = block_on(channel.health());
    assert_eq!(health.status, HealthStatus::Healthy);
    assert!(health.detail.unwrap().ends_with("as beeper"));
}

#[test]
fn a_silent_gateway_is_left_and_the_session_resumed_where_discord_said() {
    let (host, channel) = channel(json!({ "channel_id": "1" }));
    place(&host, 900);
    let said = gateway(&host, |connection, payload| match (connection, payload["op"].as_u64()) {
        (1, Some(1)) => Vec::new(),
        _ => friendly(connection, payload),
    });
    run(&channel, Duration::from_secs(30));
    let resumed = "wss://gateway-1.discord.gg/?v=10&encoding=json";
    assert_eq!(connects(&said), [PLACE, resumed]);
    assert!(said.borrow().contains(&Said::Closes(4_000)), "the session is not closed");
    let resume = json!({ "token": placeholder(BOT_TOKEN), "session_id": "abc", "seq": 1 });
    assert_eq!(texts(&said, 6)[0]["d"], resume);
    assert_eq!(texts(&said, 2).len(), 1);
}

#[test]
fn the_next_instance_resumes_the_session_of_the_one_before() {
    let (host, first) = channel(json!({ "channel_id": "1" }));
    place(&host, 900);
    let said = gateway(&host, friendly);
    run(&first, Duration::from_secs(1));
    block_on(first.shutdown());
    assert!(said.borrow().contains(&Said::Closes(4_000)), "{said:?}");
    let second: DiscordGateway = start_async(json!({ "channel_id": "1" })).unwrap();
    run(&second, Duration::from_secs(1));
    assert_eq!((texts(&said, 2).len(), texts(&said, 6).len()), (1, 1));
    assert_eq!(host.requests().len(), 1, "resuming is not limited");
}

#[test]
fn a_bot_that_has_used_up_its_session_starts_waits_for_new_ones() {
    let (host, channel) = channel(json!({ "channel_id": "1" }));
    place(&host, 5);
    place(&host, 900);
    let said = gateway(&host, friendly);
    run(&channel, Duration::from_secs(59));
    assert_eq!(connects(&said), [""; 0]);
    let detail = block_on(channel.health()).detail.unwrap();
    assert!(detail.contains("session starts"), "{detail}");
    run(&channel, Duration::from_secs(70));
    assert_eq!(connects(&said), [PLACE]);
}

#[test]
fn a_token_that_discord_does_not_take_is_not_tried_again() {
    let (host, channel) = channel(json!({ "channel_id": "1" }));
    host.answer(answer(401).json(&json!({ "code": 0, "message": "401: Unauthorized" })));
    let end = block_on(channel.run());
    assert!(matches!(&end, RunEnd::Misconfigured(why) if why.code == "token_refused"), "{end:?}");
    assert_eq!(host.requests().len(), 1);
    let health = block_on(channel.health());
    assert_eq!(health.status, HealthStatus::Unhealthy);
    assert!(health.detail.unwrap().starts_with("misconfigured since"));
    let refused = block_on(channel.send(&message("hello"))).unwrap_err();
    assert!(matches!(refused, SendError::Misconfigured(_)), "{refused:?}");
    assert_eq!(host.requests().len(), 1, "nor for a message");
}

#[test]
fn an_api_that_is_down_is_asked_again_with_growing_pauses() {
    let (host, channel) = channel(json!({ "channel_id": "1" }));
    for _ in 0..3 {
        host.fail(HttpError::Unreachable("refused".into()));
    }
    host.answer(answer(429).header("retry-after", "30"));
    place(&host, 900);
    let said = gateway(&host, friendly);
    run(&channel, Duration::from_secs(31));
    assert_eq!((host.requests().len(), connects(&said).len()), (4, 0));
    run(&channel, Duration::from_secs(40));
    assert_eq!((host.requests().len(), connects(&said).len()), (5, 1));
}

#[test]
fn messages_go_by_the_api_whether_it_is_connected_or_not() {
    let (host, channel) = channel(json!({ "channel_id": "1", "overflow": "split" }));
    host.answer(answer(200).json(&json!({ "id": "9" })));
    let sent = block_on(channel.send(&message("hello"))).unwrap();
    assert_eq!(sent, Receipt::delivered().provider_id("9"));
    let request = &host.requests()[0];
    assert_eq!(request.url, "https://discord.com/api/v10/channels/1/messages");
    assert_eq!(request.json()["content"], "hello");
    assert_eq!(request.json()["enforce_nonce"], true);

    host.answer(answer(200).json(&json!({ "id": "1" })))
        .fail(HttpError::NoAnswer("timed out".into()));
    let long = message(&"word ".repeat(500));
    let error = block_on(channel.send(&long)).unwrap_err();
    assert!(matches!(&error, SendError::Retry(_)), "its nonce makes it safe: {error:?}");
    host.answer(answer(200).json(&json!({ "id": "2" })));
    let receipt = block_on(channel.send(&long)).unwrap();
    assert_eq!(receipt, Receipt::delivered().detail("parts", 2).provider_id("1"));
    assert_eq!(host.requests().len(), 4, "the first part went out once");
}

#[test]
fn a_session_that_is_not_granted_where_it_is_does_not_hold_it_up() {
    let (host, channel) = channel(json!({ "channel_id": "1" }));
    let kept = json!({ "id": "abc", "url": "wss://gateway-9.discord.gg", "seq": 3 });
    state::set_json(SESSION, &kept, None).unwrap();
    for _ in 0..3 {
        place(&host, 900);
    }
    // No websocket is scripted: nobody can be reached. The three pauses are 7 s at most.
    run(&channel, Duration::from_secs(8));
    assert_eq!(state::get_json::<Value>(SESSION), None, "three tries, and then a new one");
}

#[test]
fn the_manifest_asks_for_the_api_and_the_gateway() {
    let manifest = manifest_async::<DiscordGateway>();
    assert_eq!(manifest["name"], "discord-gateway");
    assert_eq!(
        manifest["hosts"],
        json!([
            "https://discord.com",
            "wss://gateway.discord.gg",
            "wss://*.discord.gg",
            "option:api_base",
            "option:gateway_url"
        ])
    );
    assert_eq!(manifest["secrets"][0]["required"], true);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
}
