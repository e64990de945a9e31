//! Priority inside a tenant: an urgent message does not wait behind the backlog of other channels.

use serde_json::{Value, json};

use crate::kit::{Answer, Folder, KEY_A, TestHost};

/// Channels with a backlog, and how much each has: more than one turn of the schedule takes.
const BUSY: usize = 24;
const EACH: usize = 24;

async fn hand_over(host: &TestHost, messages: &[Value]) -> Vec<String> {
    let mut ids = Vec::new();
    for batch in messages.chunks(100) {
        let body = Value::from(batch);
        let call = host.call("POST", "/notifications/batch").key(KEY_A).json(&body);
        let answer: Answer = call.send().await;
        assert_eq!(answer.json["accepted"], batch.len(), "{answer:?}");
        let results = answer.json["results"].as_array().unwrap();
        ids.extend(results.iter().map(|result| result["id"].as_str().unwrap().to_owned()));
    }
    ids
}

/// When it was tried first.
async fn started(host: &TestHost, id: &str) -> jiff::Timestamp {
    let detail = host.reaches(id, "delivered").await;
    detail["attempts"][0]["startedAt"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_urgent_message_goes_before_the_backlog_of_the_tenants_other_channels() {
    let mut folder = Folder::new();
    // The last one by name, so that nothing but its message puts it first.
    let busy: Vec<String> = (0..BUSY).map(|n| format!("busy-{n:02}")).collect();
    for name in busy.iter().map(String::as_str).chain(["quiet", "siren"]) {
        folder.channel("log", &format!("name = \"{name}\""));
    }
    let host = TestHost::start(folder).await;
    // All of it falls due in the same moment.
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(6);
    let message = |channel: &str, priority: &str| {
        json!({ "channel": channel, "message": "m", "priority": priority,
                "sendAt": due.to_string() })
    };
    let backlog: Vec<Value> =
        busy.iter().flat_map(|name| (0..EACH).map(|_| message(name, "normal"))).collect();
    let backlog = hand_over(&host, &backlog).await;
    let others = hand_over(&host, &[message("quiet", "low"), message("siren", "urgent")]).await;
    assert!(jiff::Timestamp::now() < due, "the machine is too busy for this test");

    let (quiet, siren) = (started(&host, &others[0]).await, started(&host, &others[1]).await);
    let mut before = 0;
    for id in &backlog {
        before += usize::from(started(&host, id).await < siren);
    }
    // Its turn is the first; without that it would be the last, behind 16 messages of each channel.
    assert!(before <= 2 * EACH, "{before} of {} went before the urgent one", backlog.len());
    assert!(siren <= quiet, "what is not urgent takes its turn: {siren} {quiet}");
}
