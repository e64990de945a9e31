//! The shipped channels against doubles of their providers: what leaves, what does not, and that no
//! secret is ever told.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, KEY_ADMIN, KEY_B, Provider, Reply, Seen, TestHost};

/// The key behind "whsec_" is 24 random bytes, as Standard Webhooks wants it.
const SIGNING_KEY: &[u8] = b"24 bytes of a secret key";
const BOT_TOKEN: &str = "MTIz.bot-token-that-nobody-may-see.Abc";
const WEBHOOK_TOKEN: &str = "webhook-token-that-nobody-may-see-68chars";

fn signing_secret() -> String {
    format!("whsec_{}", STANDARD.encode(SIGNING_KEY))
}

/// Both shipped channels of tenant A, pointed at `provider`; `grants` are those of both plugins.
fn folder(provider: &Provider, grants: &str) -> Folder {
    let mut folder = Folder::new();
    let url = provider.url("");
    folder
        .env("SIGNING", &signing_secret())
        .env("BOT", BOT_TOKEN)
        .env("HOOK", WEBHOOK_TOKEN)
        .plugin("webhook", grants)
        .plugin("discord", grants)
        .channel(
            "webhook",
            &format!(
                "[channel.secrets]\nSIGNING_SECRET = \"SIGNING\"\n[channel.options]\nurl = \
                 \"{url}/hook\"\nheaders = {{ x-team = \"ops\" }}\n[channel.retry]\nfirst_ms = 50"
            ),
        )
        .channel(
            "discord",
            &format!(
                "name = \"bot\"\n[channel.secrets]\nBOT_TOKEN = \"BOT\"\n[channel.options]\n\
                 api_base = \"{url}/api\"\nchannel_id = \"4711\"\n[channel.retry]\nfirst_ms = 50"
            ),
        )
        .channel(
            "discord",
            &format!(
                "name = \"hook\"\n[channel.secrets]\nWEBHOOK_TOKEN = \"HOOK\"\n[channel.options]\n\
                 api_base = \"{url}/api\"\nwebhook_id = \"42\"\n[channel.retry]\nfirst_ms = 50"
            ),
        );
    folder
}

fn granted(provider: &Provider) -> String {
    let url = provider.url("");
    format!("[plugin.grants]\nhosts = [\"{url}\"]\naddresses = [\"127.0.0.0/8\"]")
}

async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let host = TestHost::start(folder(&provider, &granted(&provider))).await;
    (host, provider)
}

/// The messages, without the questions about its health that a start asks.
fn posted(provider: &Provider) -> Vec<Seen> {
    provider.seen().into_iter().filter(|seen| seen.method == "POST").collect()
}

#[tokio::test]
async fn a_webhook_is_signed_so_that_its_receiver_can_verify_it() {
    let (host, provider) = with_provider().await;
    let body = json!({
        "channel": "webhook", "message": "disk almost full", "title": "db-1",
        "priority": "high", "targetId": "ops", "data": {"usage": 0.93},
    });
    let answer = host.notify(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let [request] = posted(&provider).try_into().unwrap();
    assert_eq!(request.path, "/hook");
    assert_eq!(
        (request.header("content-type"), request.header("x-team")),
        ("application/json", "ops")
    );

    // As the specification says it: HMAC-SHA256 over "id.timestamp.body".
    let (id, timestamp) = (request.header("webhook-id"), request.header("webhook-timestamp"));
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &request.body].concat();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SIGNING_KEY);
    let expected = format!("v1,{}", STANDARD.encode(ring::hmac::sign(&key, &signed)));
    assert_eq!(request.header("webhook-signature"), expected);

    let age = jiff::Timestamp::now().as_second() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age} s old");
    assert_eq!(answer.json["providerId"], id);
    let data = &request.json["data"];
    assert_eq!(request.json["type"], "notification.created");
    assert_eq!(
        *data,
        json!({
            "id": answer.id(), "message": "disk almost full", "title": "db-1", "format": "plain",
            "priority": "high", "targetId": "ops", "data": {"usage": 0.93},
        })
    );
}

#[tokio::test]
async fn a_discord_bot_posts_to_its_channel_and_tells_the_messages_id() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(200).json(&json!({"id": "987", "channel_id": "4711"})));
    let body = json!({"channel": "bot", "message": "<@1> *hello*", "title": "Deploy"});
    let answer = host.notify(&body).send().await;
    assert_eq!((answer.status, &answer.json["providerId"]), (200, &json!("987")), "{answer:?}");
    let body = json!({"channel": "bot", "message": "elsewhere", "targetId": "815"});
    assert_eq!(host.notify(&body).send().await.status, 200);

    let [first, second] = posted(&provider).try_into().unwrap();
    assert_eq!(first.path, "/api/channels/4711/messages");
    assert_eq!(first.header("authorization"), format!("Bot {BOT_TOKEN}"));
    assert!(first.header("user-agent").starts_with("DiscordBot ("), "{first:?}");
    assert_eq!(first.json["content"], "**Deploy**\n\\<@1> \\*hello\\*");
    assert_eq!(first.json["allowed_mentions"], json!({"parse": []}));
    assert_eq!(first.json["enforce_nonce"], true);
    assert_eq!(second.path, "/api/channels/815/messages");
    assert_ne!(first.json["nonce"], second.json["nonce"]);
}

#[tokio::test]
async fn a_discord_bot_repeats_with_the_same_nonce_when_discord_says_so() {
    let (host, provider) = with_provider().await;
    let limited =
        json!({"message": "You are being rate limited.", "retry_after": 1.2, "global": false});
    // The health questions of the start are over when the host listens.
    provider.then(Reply::status(429).json(&limited));
    provider.otherwise(Reply::status(200).json(&json!({"id": "1"})));
    let answer = host.send("bot", "again").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let [first, second] = posted(&provider).try_into().unwrap();
    assert_eq!(first.json["nonce"], second.json["nonce"]);
    assert_eq!(first.json["nonce"].as_str().unwrap().len(), 25);
    let detail = host.notification(&answer.id()).await.json;
    let at = |n: usize| -> jiff::Timestamp {
        detail["attempts"][n]["startedAt"].as_str().unwrap().parse().unwrap()
    };
    let pause = (at(1) - at(0)).total(jiff::Unit::Second).unwrap();
    assert!(pause >= 1.2, "asked again after {pause} s");
}

#[tokio::test]
async fn a_discord_webhook_posts_with_its_token_in_the_address() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(200).json(&json!({"id": "5"})));
    let answer = host.send("hook", "hello").await;
    assert_eq!((answer.status, &answer.json["providerId"]), (200, &json!("5")), "{answer:?}");
    let [request] = posted(&provider).try_into().unwrap();
    assert_eq!(request.path, format!("/api/webhooks/42/{WEBHOOK_TOKEN}?wait=true"));
    assert_eq!(request.header("authorization"), "");
    assert_eq!(request.json["content"], "hello");
    assert!(request.json["nonce"].is_null());
}

#[tokio::test]
async fn what_discord_refuses_is_told_apart() {
    let (host, provider) = with_provider().await;
    provider.then(Reply::status(403).json(&json!({"code": 50001, "message": "Missing Access"})));
    let answer = host.send("bot", "x").await;
    answer.assert_problem(422, "rejected");
    assert_eq!(answer.json["code"], "50001");
    assert!(answer.json["detail"].as_str().unwrap().contains("Missing Access"), "{answer:?}");
    provider.then(Reply::status(401).json(&json!({"code": 0, "message": "401: Unauthorized"})));
    host.send("bot", "x").await.assert_problem(424, "channel-misconfigured");
}

#[tokio::test]
async fn without_a_granted_address_nothing_leaves_for_this_machine() {
    let provider = Provider::start().await;
    let grants = format!("[plugin.grants]\nhosts = [\"{}\"]", provider.url(""));
    let host = TestHost::start_with(folder(&provider, &grants), &["--degraded"]).await;
    for channel in ["webhook", "bot", "hook"] {
        let answer = host.send(channel, "inward").await;
        answer.assert_problem(424, "channel-misconfigured");
    }
    assert_eq!(provider.seen().len(), 0);
    let denied = "conductor_egress_requests_total{plugin=\"webhook\",outcome=\"denied\"}";
    assert!(host.metric(denied).await >= 1.0);
}

#[tokio::test]
async fn without_a_granted_host_nothing_leaves_at_all() {
    let provider = Provider::start().await;
    let grants =
        "[plugin.grants]\nhosts = [\"https://discord.com\"]\naddresses = [\"127.0.0.0/8\"]";
    let host = TestHost::start_with(folder(&provider, grants), &["--degraded"]).await;
    for channel in ["webhook", "bot", "hook"] {
        host.send(channel, "outward").await.assert_problem(424, "channel-misconfigured");
    }
    assert_eq!(provider.seen().len(), 0);
}

#[tokio::test]
async fn a_secret_that_is_granted_for_one_host_does_not_leave_for_another() {
    let provider = Provider::start().await;
    let mut folder = folder(&provider, &granted(&provider));
    folder.plugins.push_str("secrets = { BOT_TOKEN = [\"https://discord.com\"] }\n");
    let host = TestHost::start_with(folder, &["--degraded"]).await;
    host.send("bot", "to the wrong place").await.assert_problem(424, "channel-misconfigured");
    for seen in provider.seen() {
        assert!(!format!("{seen:?}").contains(BOT_TOKEN), "{seen:?}");
    }
    assert_eq!(posted(&provider).len(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (host, provider) = with_provider().await;
    let elsewhere = Provider::start().await;
    provider.otherwise(Reply::status(307).header("location", &elsewhere.url("/trap")));
    host.send("webhook", "follow me").await.assert_problem(422, "rejected");
    assert_eq!((posted(&provider).len(), elsewhere.seen().len()), (1, 0));
}

#[tokio::test]
async fn no_secret_is_told_while_channels_fail_in_every_way() {
    let provider = Provider::start().await;
    let mut folder = folder(&provider, &granted(&provider));
    let retry = "first_ms = 50\nattempts = 2\nspan_ms = 1000";
    folder.channels = folder.channels.replace("first_ms = 50", retry);
    // Each failure has channels of its own, for some of them stop their channel.
    let own = folder.channels.clone();
    let statuses = [400, 401, 403, 404, 410, 429, 500, 503, 302];
    for status in statuses {
        let webhook = "channel_type = \"webhook\"";
        let named = own
            .replace(webhook, &format!("{webhook}\nname = \"webhook-{status}\""))
            .replace("\"bot\"", &format!("\"bot-{status}\""))
            .replace("\"hook\"", &format!("\"hook-{status}\""));
        folder.channels.push_str(&named);
    }
    folder.process.push((String::from("RUST_LOG"), String::from("debug,conductor=trace")));
    let mut host = TestHost::start(folder).await;
    let mut answers = Vec::new();
    let signing = signing_secret();
    for status in statuses {
        for (channel, secret) in
            [("webhook", &*signing), ("bot", BOT_TOKEN), ("hook", WEBHOOK_TOKEN)]
        {
            // A provider that repeats the channel's secret in every place that is read.
            let body = json!({"message": secret, "code": 1, "retry_after": 0.1, "detail": secret});
            let reply = Reply::status(status).json(&body).header("x-echo", secret);
            let reply = reply.header("location", &provider.url(&format!("/{secret}")));
            provider.otherwise(reply.header("retry-after", "0"));
            let answer = host.send(&format!("{channel}-{status}"), "fails").await;
            assert!(answer.status >= 400, "{status} {channel}: {answer:?}");
            if let Some(id) = answer.json["id"].as_str() {
                answers.push(host.notification(id).await.text);
            }
            answers.push(answer.text);
        }
    }
    let base = provider.url("");
    drop(provider);
    for channel in ["webhook", "bot", "hook"] {
        answers.push(host.send(channel, "nobody is there").await.text);
    }
    for path in ["/health", "/metrics", "/channels", "/notifications", "/ready", "/nothing"] {
        for key in [KEY_A, KEY_ADMIN] {
            answers.push(host.call("GET", path).key(key).send().await.text);
        }
    }
    // A reload that fails, and one that brings a wrong value where a secret was.
    host.channels = host.channels.replace(&format!("{base}/hook"), "no address");
    host.write();
    host.logged(&["reload: rejected"]).await;
    answers.push(host.health().await.to_string());
    host.kill().await;
    answers.push(host.stderr());
    answers.push(host.stdout());

    let written = answers.join("\n");
    assert!(written.len() > 100_000 && written.contains("delivery-failed"), "{}", written.len());
    let encoded = STANDARD.encode(SIGNING_KEY);
    let key = String::from_utf8(SIGNING_KEY.to_vec()).unwrap();
    for secret in [BOT_TOKEN, WEBHOOK_TOKEN, &encoded, &key, KEY_A, KEY_B, KEY_ADMIN] {
        if let Some(line) = written.lines().find(|line| line.contains(secret)) {
            panic!("{secret} is told in: {line}");
        }
    }
}

#[tokio::test]
async fn a_secret_from_a_file_is_used_and_one_that_is_missing_is_told() {
    let provider = Provider::start().await;
    let mut folder = folder(&provider, &granted(&provider));
    let secret = folder.file("secret.txt");
    std::fs::write(&secret, format!("{BOT_TOKEN}\n")).unwrap();
    let by_file = format!("BOT_TOKEN = {{ file = \"{}\" }}", secret.display());
    folder.channels = folder.channels.replace("BOT_TOKEN = \"BOT\"", &by_file);
    let host = TestHost::start(folder).await;
    assert_eq!(host.send("bot", "x").await.status, 200);
    let [request] = posted(&provider).try_into().unwrap();
    assert_eq!(request.header("authorization"), format!("Bot {BOT_TOKEN}"));

    let (mut folder, _) = host.stop().await;
    std::fs::remove_file(&secret).unwrap();
    folder.channels =
        folder.channels.replace("WEBHOOK_TOKEN = \"HOOK\"", "WEBHOOK_TOKEN = \"AWAY\"");
    let (_folder, ended) = TestHost::refused(folder, &[]).await;
    assert_eq!(ended.code, Some(78));
    for part in ["secret.txt", "AWAY"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

/// What is in `GET /channels` is enough to know what a channel takes before it is asked.
#[tokio::test]
async fn a_message_that_discord_would_not_take_is_refused_before_it_is_stored() {
    let (host, provider) = with_provider().await;
    let channels = host.call("GET", "/channels").key(KEY_A).send().await;
    let items = channels.json["items"].as_array().unwrap();
    let bot: &Value = items.iter().find(|item| item["name"] == "bot").unwrap();
    assert_eq!(bot["limits"]["messageMax"], 2000);
    let answer = host.send("bot", &"x".repeat(2001)).await;
    answer.assert_problem(400, "message-too-long");
    assert_eq!(host.send("bot", &"x".repeat(2000)).await.status, 200);
    assert_eq!(posted(&provider).len(), 1);
}
