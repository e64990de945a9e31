//! Tenant B, who does nothing wrong: sends to a channel that writes and to one that posts, all the
//! time, and counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::kit::{Folder, KEY_B, Provider, TENANT_B, TestHost};

/// Between two messages: enough to be there all the time, and no load by itself.
const PAUSE: Duration = Duration::from_millis(20);
/// The plugin under which the neighbour's own `webhook` runs.
const PLUGIN: &str = "neighbour";

/// The neighbour, sending.
pub(super) struct Neighbour {
    done: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Sent>>,
    _provider: Arc<Provider>,
}

#[derive(Default)]
struct Sent {
    delivered: usize,
    failed: Vec<String>,
}

/// Adds the neighbour's channel to a configuration; the provider is its own.
pub(super) async fn moves_in(folder: &mut Folder) -> Arc<Provider> {
    let provider = Arc::new(Provider::start().await);
    let origin = provider.url("");
    let file = crate::kit::repository("plugins/dist/webhook.wasm");
    folder.plugin(
        PLUGIN,
        &format!(
            "source = \"{}\"\n[plugin.grants]\nhosts = [\"{origin}\"]\naddresses = [\"127.0.0.1\"]",
            file.display()
        ),
    );
    folder.channels.push_str(&format!(
        "\n[[channel]]\ntenant_id = \"{TENANT_B}\"\nchannel_type = \"{PLUGIN}\"\n\
         [channel.options]\nurl = \"{origin}/hook\"\nunsigned = true\n"
    ));
    provider
}

impl Neighbour {
    /// Begins to send.
    pub(super) fn start(host: &TestHost, provider: Arc<Provider>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let senders = ["log", PLUGIN]
            .map(|channel| {
                let url = format!("{}/notifications", host.base());
                tokio::spawn(send(url, channel, Arc::clone(&done)))
            })
            .into();
        Self { done, senders, _provider: provider }
    }

    /// Stops. Every message has arrived at once, and there were enough to tell.
    pub(super) async fn was_well(self) {
        self.done.store(true, Ordering::Relaxed);
        for sender in self.senders {
            let sent = sender.await.unwrap();
            assert!(sent.failed.is_empty(), "the neighbour was hurt: {:?}", sent.failed);
            assert!(sent.delivered >= 5, "only {} messages tell nothing", sent.delivered);
        }
    }
}

async fn send(url: String, channel: &'static str, done: Arc<AtomicBool>) -> Sent {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({ "channel": channel, "message": "a neighbour's" }).to_string();
    let mut sent = Sent::default();
    while !done.load(Ordering::Relaxed) || sent.delivered < 5 && sent.failed.is_empty() {
        let call = client.post(&url).bearer_auth(KEY_B).body(body.clone());
        let call = call.header("content-type", "application/json").header("prefer", "wait=30");
        match call.send().await {
            Ok(answer) if answer.status() == 200 => sent.delivered += 1,
            Ok(answer) => sent.failed.push(format!("{channel}: {}", answer.text().await.unwrap())),
            Err(error) => sent.failed.push(format!("{channel}: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
    sent
}
