//! The channel `discord-gateway` against a double of Discord: the connection, what becomes of it when
//! Discord closes it, falls silent, restarts or does not take the token, and a swap of the plugin.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::kit::{Folder, Gateway, KEY_A, Provider, Reply, TestHost, eventually, replace, shipped};

const TOKEN: &str = "the-token-of-the-bot-0123456789";
/// Opcodes of a bot (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>).
const HEARTBEAT: u64 = 1;
const IDENTIFY: u64 = 2;
const RESUME: u64 = 6;

/// The API's double: it answers every request with all that an answer may have to have.
async fn api(gateway: &Gateway) -> Provider {
    let provider = Provider::start().await;
    provider.otherwise(Reply::status(200).json(&json!({
        "url": gateway.url(),
        "session_start_limit": { "remaining": 900, "reset_after": 1_000 },
        "id": "4711",
    })));
    provider
}

/// A folder with the channel as tenant A's, from a file that can be replaced.
fn folder(gateway: &Gateway, api: &Provider) -> Folder {
    let mut folder = Folder::new();
    std::fs::write(folder.file("gateway.wasm"), shipped("discord-gateway")).unwrap();
    let (socket, http) = (gateway.url(), api.url(""));
    folder.plugin(
        "discord-gateway",
        &format!(
            "source = \"gateway.wasm\"\n[plugin.grants]\nhosts = [\"{socket}\", \
             \"{http}\"]\naddresses = [\"127.0.0.1\"]"
        ),
    );
    folder.channel(
        "discord-gateway",
        &format!(
            "name = \"chat\"\n[channel.secrets]\nBOT_TOKEN = \"BOT_TOKEN_OF_A\"\n\
             [channel.options]\nchannel_id = \"77\"\napi_base = \"{http}\"\ngateway_url = \
             \"{socket}\"\n[channel.retry]\nattempts = 1"
        ),
    );
    folder.env("BOT_TOKEN_OF_A", TOKEN);
    folder
}

/// A host whose bot is connected.
async fn connected(gateway: &Gateway, api: &Provider) -> TestHost {
    let host = TestHost::start(folder(gateway, api)).await;
    says(&host, "connected since").await;
    host
}

/// What `/health` tells of the connection.
async fn connection(host: &TestHost) -> Value {
    host.health().await["connections"][0].clone()
}

/// Waits until what `/health` tells of the connection begins or ends with this.
async fn says(host: &TestHost, text: &str) -> Value {
    eventually(format_args!("the connection is {text}"), async || {
        let connection = connection(host).await;
        let detail = connection["detail"].as_str().unwrap_or_default();
        (detail.starts_with(text) || detail.ends_with(text)).then_some(connection)
    })
    .await
}

async fn heard(gateway: &Gateway, op: u64, count: usize) -> Vec<Value> {
    eventually(format_args!("opcode {op} for the time {count}"), async || {
        let heard = gateway.heard(op);
        (heard.len() >= count).then_some(heard)
    })
    .await
}

#[tokio::test]
async fn the_bot_identifies_itself_beats_and_sends() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    assert_eq!(host.health().await["status"], "ok");
    let identify = &gateway.heard(IDENTIFY)[0];
    assert_eq!(identify["token"], TOKEN);
    assert_eq!(identify["presence"]["status"], "online");
    assert_eq!(heard(&gateway, HEARTBEAT, 2).await[0], 1);

    let answer = host.send("chat", "hello").await;
    assert_eq!((answer.status, &answer.json["providerId"]), (200, &json!("4711")), "{answer:?}");
    let seen = api.seen();
    let sent = seen.iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(sent.path, "/channels/77/messages");
    assert_eq!(sent.header("authorization"), format!("Bot {TOKEN}"));
    assert_eq!(sent.json["content"], "hello");

    let (_folder, ended) = host.stop().await;
    assert!(!ended.stderr.contains(TOKEN), "{}", ended.stderr);
    // Not 1000, which ends the session.
    eventually("the goodbye", async || (gateway.goodbyes() == [4_000]).then_some(())).await;
}

#[tokio::test]
async fn a_connection_that_discord_closes_is_resumed_with_the_last_number() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    gateway.say(json!({ "op": 0, "t": "SOMETHING", "s": 41, "d": {} }));
    let answered = async || gateway.heard(HEARTBEAT).contains(&json!(41)).then_some(());
    eventually("a heartbeat with 41", answered).await;
    gateway.close(4_000);
    let resume = &heard(&gateway, RESUME, 1).await[0];
    assert_eq!((&resume["seq"], &resume["token"]), (&json!(41), &json!(TOKEN)));
    says(&host, "resumed").await;
    gateway.say(json!({ "op": 7, "d": null }));
    heard(&gateway, RESUME, 2).await;
    assert_eq!(gateway.heard(IDENTIFY).len(), 1);
}

#[tokio::test]
async fn a_session_that_discord_does_not_know_any_more_begins_anew() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    gateway.forget();
    gateway.close(4_000);
    heard(&gateway, IDENTIFY, 2).await;
    says(&host, "connected since").await;
    assert_eq!((gateway.heard(RESUME).len(), gateway.opened()), (1, 3));
}

#[tokio::test]
async fn a_gateway_that_falls_silent_shows_in_health_and_is_left() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    gateway.silent(true);
    let stalled = says(&host, "stalled since").await;
    assert_eq!(stalled["state"], "degraded");
    let health = host.health().await;
    assert_eq!(
        (&health["status"], &health["unwell"][0]["channel"]),
        (&json!("degraded"), &json!("chat"))
    );
    assert_eq!(host.send("chat", "meanwhile").await.status, 200, "messages go another way");
    eventually("a second connection", async || (gateway.opened() >= 2).then_some(())).await;
    gateway.silent(false);
    says(&host, "resumed").await;
    assert_eq!(host.health().await["status"], "ok");
    assert_eq!(gateway.heard(IDENTIFY).len(), 1);
}

#[tokio::test]
async fn a_gateway_that_restarts_is_connected_again() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    let port = gateway.port();
    drop(gateway);
    // Resuming at first, and not connected after some tries.
    eventually("health tells", async || {
        (connection(&host).await["state"] == "degraded").then_some(())
    })
    .await;
    let gateway = Gateway::start(port).await;
    heard(&gateway, IDENTIFY, 1).await;
    says(&host, "connected since").await;
}

#[tokio::test]
async fn a_bot_that_may_not_have_its_gateway_sends_all_the_same() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    gateway.refuse(4_011);
    let host = TestHost::start(folder(&gateway, &api)).await;
    let connection = says(&host, "misconfigured since").await;
    assert_eq!(connection["state"], "misconfigured");
    assert_eq!(host.health().await["unwell"][0]["state"], "misconfigured");
    assert_eq!(host.send("chat", "hello").await.status, 200, "messages go another way");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((gateway.opened(), gateway.heard(IDENTIFY).len()), (1, 1));
}

#[tokio::test]
async fn a_token_that_discord_does_not_take_stops_the_channel_and_is_not_tried_again() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    gateway.refuse(4_004);
    let host = TestHost::start(folder(&gateway, &api)).await;
    let connection = says(&host, "misconfigured since").await;
    assert_eq!(connection["state"], "misconfigured");
    host.logged(&["ERROR", "connection stopped", "4004"]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!((gateway.opened(), gateway.heard(IDENTIFY).len()), (1, 1));
    let answer = host.send("chat", "hello").await;
    assert_eq!(answer.json["outcome"], "misconfigured", "{answer:?}");
    assert!(!api.seen().iter().any(|seen| seen.method == "POST"), "nor is it for messages");

    // A new token is a changed channel.
    gateway.refuse(0);
    replace(&host.file(".env"), host.env.replace(TOKEN, "another-token-of-the-bot-0123"));
    says(&host, "connected since").await;
    assert_eq!(gateway.heard(IDENTIFY)[1]["token"], "another-token-of-the-bot-0123");
}

/// The same component as another file: with a custom section that nobody reads.
fn variant(mut file: Vec<u8>) -> Vec<u8> {
    const NAME: &[u8] = b"other";
    const CUSTOM: u8 = 0;
    file.extend([CUSTOM, 6, 5]);
    file.extend(NAME);
    file
}

#[tokio::test]
async fn a_swap_of_the_plugin_moves_the_connection_and_loses_no_message() {
    let gateway = Gateway::start(0).await;
    let api = api(&gateway).await;
    let host = connected(&gateway, &api).await;
    let done = Arc::new(AtomicBool::new(false));
    let caller = {
        let (done, url) = (Arc::clone(&done), format!("{}/notifications", host.base()));
        tokio::spawn(async move {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let body = json!({"channel": "chat", "message": format!("message {sent}")});
                let call = client.post(&url).bearer_auth(KEY_A).body(body.to_string());
                let call = call.header("content-type", "application/json");
                let answer = call.send().await.unwrap();
                assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
                sent += 1;
            }
            sent
        })
    };
    replace(&host.file("gateway.wasm"), variant(shipped("discord-gateway")));
    heard(&gateway, RESUME, 1).await;
    says(&host, "resumed").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    done.store(true, Ordering::Relaxed);
    let sent = caller.await.unwrap();
    // On a busy machine a heartbeat can be missed, and the connection opened and resumed once more.
    assert!(gateway.opened() >= 2);
    assert_eq!((gateway.live(), gateway.most_live()), (1, 1));
    assert_eq!(gateway.heard(IDENTIFY).len(), 1, "the session has moved too");
    let posts = api.seen().into_iter().filter(|seen| seen.method == "POST");
    let texts: Vec<_> = posts.map(|seen| seen.json["content"].clone()).collect();
    let expected: Vec<_> = (0..sent).map(|number| json!(format!("message {number}"))).collect();
    assert_eq!(texts, expected, "each once, in order");
    assert_eq!(connection(&host).await["instances"], 1);
}
