//! A provider of chaos: whatever it does, the attempt is recorded as what it was, what may be sent
//! again is, what the provider asks for is kept to, and nothing is sent where it must not go.

mod cases;
mod network;
mod server;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    kit::{Folder, KEY_A, TENANT_A, TestHost, wait::within},
    settings,
};
use cases::{Case, Next, Via};
use server::Chaos;

/// The slowest cases use up two time limits of five seconds each.
const PATIENCE: Duration = Duration::from_secs(60);

fn moment(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

/// Adds a channel of tenant A that sends to `url`, with short pauses of its own between attempts.
fn channel(folder: &mut Folder, via: Via, name: &str, url: &str) {
    let (plugin, options) = match via {
        Via::Webhook => {
            ("webhook", format!("[channel.options]\nurl = \"{url}/hook\"\nunsigned = true"))
        }
        Via::DiscordHook => {
            folder.env(&secret_of(name), &format!("webhook-token-of-{name}"));
            let secret = format!("[channel.secrets]\nWEBHOOK_TOKEN = \"{}\"", secret_of(name));
            (
                "discord",
                format!("{secret}\n[channel.options]\napi_base = \"{url}\"\nwebhook_id = \"42\""),
            )
        }
        Via::DiscordBot => {
            folder.env(&secret_of(name), &format!("bot-token-of-{name}"));
            let secret = format!("[channel.secrets]\nBOT_TOKEN = \"{}\"", secret_of(name));
            (
                "discord",
                format!("{secret}\n[channel.options]\napi_base = \"{url}\"\nchannel_id = \"4711\""),
            )
        }
    };
    let retry = "[channel.retry]\nfirst_ms = 100\nfactor = 1.0\nattempts = 20";
    folder.channel(plugin, &format!("name = \"{name}\"\n{options}\n{retry}"));
}

/// A credential for each, so that none is blamed for another's.
fn secret_of(name: &str) -> String {
    format!("SECRET_{}", name.to_uppercase().replace('-', "_"))
}

fn plugins(folder: &mut Folder, origins: &[String]) {
    let origins: Vec<_> = origins.iter().map(|origin| format!("\"{origin}\"")).collect();
    let grants =
        format!("[plugin.grants]\nhosts = [{}]\naddresses = [\"127.0.0.0/8\"]", origins.join(", "));
    folder.plugin("webhook", &grants).plugin("discord", &grants);
}

/// Waits until a notification is over or, having failed, waits for a long time.
async fn settled(host: &TestHost, id: &str) -> Value {
    within(PATIENCE, format_args!("{id} settles"), async || {
        let detail = host.notification(id).await.json;
        let over = match detail["status"].as_str().unwrap() {
            "delivered" | "dead" => true,
            "retrying" => {
                let pause = moment(&detail["dueAt"]) - jiff::Timestamp::now();
                pause.total(jiff::Unit::Second).unwrap() > 60.0
            }
            _ => false,
        };
        over.then_some(detail)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_provider_does_is_recorded_as_what_it_was_and_followed_by_what_is_right() {
    // Where redirects and the like point to: nobody must ever come.
    let elsewhere = Chaos::well("127.0.0.1:0".parse().unwrap()).await;
    let cases = cases::all(&elsewhere.url("/stolen"));
    let mut folder = Folder::new();
    let (mut servers, mut origins) = (Vec::new(), vec![elsewhere.url("")]);
    for (number, case) in cases.iter().enumerate() {
        let address = format!("127.0.1.{}", number + 1);
        let server = Chaos::start(&address, case.trick.clone(), case.times).await;
        channel(&mut folder, case.via, case.name, &server.url(""));
        origins.push(server.url(""));
        servers.push(server);
    }
    plugins(&mut folder, &origins);
    let host = TestHost::start(folder).await;

    let mut ids = Vec::new();
    for case in &cases {
        ids.push(host.hand_over(case.name, case.name).await);
    }
    for ((case, server), id) in cases.iter().zip(&servers).zip(&ids) {
        let detail = settled(&host, id).await;
        check(case, server, &detail);
        if matches!(case.next, Next::Dead) && case.replay {
            revive(&host, case, id).await;
        }
    }
    settings::proved("provider of chaos", format_args!("{} cases as they should be", cases.len()));
    assert!(elsewhere.arrived().is_empty(), "a redirect was followed: {:?}", elsewhere.arrived());
}

fn check(case: &Case, server: &Chaos, detail: &Value) {
    let name = case.name;
    let attempts = detail["attempts"].as_array().unwrap();
    let told: Vec<_> = attempts
        .iter()
        .map(|one| (one["outcome"].as_str().unwrap(), one["code"].as_str().unwrap_or("")))
        .collect();
    let failed = vec![(case.outcome, case.code); case.times];
    match case.next {
        Next::Delivered => {
            assert_eq!(detail["status"], "delivered", "{name}: {detail}");
            assert_eq!(told, [("delivered", "")], "{name}: {detail}");
        }
        Next::Again { after } => {
            assert_eq!(detail["status"], "delivered", "{name}: {detail}");
            let expected = [failed, vec![("delivered", "")]].concat();
            assert_eq!(told, expected, "{name}: {detail}");
            for pair in server.arrived().windows(2) {
                let pause = pair[1].at - pair[0].at;
                assert!(pause >= after, "{name}: asked again after {pause:?}, wanted {after:?}");
            }
        }
        Next::NotBefore { after } => {
            assert_eq!(detail["status"], "retrying", "{name}: {detail}");
            assert_eq!(told, failed, "{name}: {detail}");
            let pause = moment(&detail["dueAt"]) - moment(&attempts[0]["startedAt"]);
            let pause = pause.total(jiff::Unit::Second).unwrap();
            assert!(pause >= after.as_secs_f64(), "{name}: due after {pause} s: {detail}");
        }
        Next::Dead => {
            assert_eq!(detail["status"], "dead", "{name}: {detail}");
            assert_eq!(told, failed, "{name}: {detail}");
        }
    }
    let arrived = server.arrived();
    assert_eq!(arrived.len(), told.len(), "{name}: as often as is on record: {arrived:?}");
    let keys: std::collections::BTreeSet<_> =
        arrived.iter().map(|one| delivery_key(&one.text)).collect();
    assert_eq!(keys.len(), 1, "{name}: one delivery key in all attempts: {keys:?}");
}

/// By what the receiver can tell that two messages are one: a webhook's id, a bot's nonce. A Discord
/// webhook has nothing like it; there it is the whole body.
fn delivery_key(text: &str) -> String {
    let header = text.lines().find_map(|line| line.strip_prefix("webhook-id: "));
    header.map_or_else(|| text.split_once("\r\n\r\n").unwrap().1.to_owned(), str::to_owned)
}

/// What was given up is kept, and is delivered when it is replayed to a provider that is well.
async fn revive(host: &TestHost, case: &Case, id: &str) {
    let path = format!("/notifications/{id}/replay");
    let answer = host.call("POST", &path).key(KEY_A).send().await;
    assert!((200..300).contains(&answer.status), "{}: {answer:?}", case.name);
    let detail = host.reaches(id, "delivered").await;
    assert_eq!(detail["replayCount"], json!(1), "{}: {detail}", case.name);
}

/// The channel table of tenant A, for a file that is rewritten.
fn rewritten(url: &str) -> String {
    format!(
        "[[channel]]\ntenant_id = \"{TENANT_A}\"\nchannel_type = \"webhook\"\n[channel.options]\nurl = \
         \"{url}\"\nunsigned = true\n[channel.retry]\nfirst_ms = 100\nfactor = 1.0\nattempts = 100\n"
    )
}
