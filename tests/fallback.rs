//! Another channel takes over when one gives up.

use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, Provider, Reply, TestHost, eventually};

/// `webhook` falls back to `second`, which falls back to `log`; both post to a provider of their own.
async fn with_fallback() -> (TestHost, Provider, Provider) {
    let (first, second) = (Provider::start().await, Provider::start().await);
    let mut folder = Folder::new();
    folder.webhook(&first.url("/first"));
    let origins = format!("hosts = [\"{}\", \"{}\"]", first.url(""), second.url(""));
    let granted = format!("hosts = [\"{}\"]", first.url(""));
    assert!(folder.plugins.contains(&granted));
    folder.plugins = folder.plugins.replace(&granted, &origins);
    let channel = "channel_type = \"webhook\"\n";
    folder.channels =
        folder.channels.replace(channel, &format!("{channel}fallback = [\"second\", \"log\"]\n"));
    folder.channel(
        "webhook",
        &format!(
            "name = \"second\"\n[channel.options]\nurl = \"{}\"\nunsigned = true\n[channel.retry]\n\
             attempts = 1",
            second.url("/second")
        ),
    );
    (TestHost::start(folder).await, first, second)
}

async fn listed(host: &TestHost) -> Vec<Value> {
    let answer = host.call("GET", "/notifications").key(KEY_A).send().await;
    let mut items = answer.json["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

#[tokio::test]
async fn what_one_channel_refuses_the_next_one_delivers_and_the_caller_hears_of_that() {
    let (host, first, second) = with_fallback().await;
    first.otherwise(Reply::status(400));
    let answer = host.send("webhook", "hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(first.seen().len(), 1);
    assert_eq!(second.asked(1).await[0].message(), "hello");
    let items = listed(&host).await;
    let of = |name: &str| items.iter().map(|item| item[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("channel"), ["webhook", "second"]);
    assert_eq!(of("status"), ["dead", "delivered"]);
    host.logged(&["another channel takes over", "second"]).await;
}

#[tokio::test]
async fn the_last_channel_takes_what_the_others_could_not() {
    let (host, first, second) = with_fallback().await;
    first.otherwise(Reply::status(410));
    second.otherwise(Reply::status(500));
    let answer = host.send("webhook", "hello").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let items = listed(&host).await;
    let channels: Vec<_> = items.iter().map(|item| item["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["webhook", "second", "log"]);
    assert_eq!(second.seen().len(), 1);

    // The first one is stopped now: those who have another channel do not wait for it.
    second.otherwise(Reply::status(200));
    let id = host.hand_over("webhook", "not tried there again").await;
    host.reaches(&id, "delivered").await;
    eventually("the next channel delivers it", async || {
        let seen = second.seen();
        seen.iter().any(|seen| seen.message() == "not tried there again").then_some(())
    })
    .await;
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test]
async fn when_no_channel_delivers_it_the_caller_is_told_of_the_last_one() {
    let (host, first, second) = with_fallback().await;
    first.otherwise(Reply::status(400));
    second.otherwise(Reply::status(422));
    let mut host = host;
    host.channels = host.channels.replace("[\"second\", \"log\"]", "[\"second\"]");
    let before = host.generation().await;
    host.write();
    eventually("the reload", async || (host.generation().await > before).then_some(())).await;
    let answer = host.send("webhook", "in vain").await;
    answer.assert_problem(422, "rejected");
    assert_eq!(answer.json["code"], "http_422", "{answer:?}");
    assert_eq!(listed(&host).await.len(), 2);
    assert_eq!(json!(second.seen().len()), json!(1));
}
