//! Dead letters are removed before their retention is over: by id, by a range, by the command.

use serde_json::{Value, json};

use crate::kit::{Answer, Folder, KEY_A, KEY_ADMIN, KEY_B, Provider, Reply, TestHost, conductor};

async fn two() -> (TestHost, Provider, Provider) {
    let (first, second) = (Provider::start().await, Provider::start().await);
    let mut folder = Folder::new();
    folder.webhooks(&[("first", &first), ("second", &second)], 3);
    (TestHost::start(folder).await, first, second)
}

async fn purge(host: &TestHost, id: &str) -> Answer {
    host.call("POST", &format!("/notifications/{id}/purge")).key(KEY_A).send().await
}

async fn purge_range(host: &TestHost, body: &Value) -> Answer {
    host.call("POST", "/notifications/purge").key(KEY_A).json(body).send().await
}

/// The ids of tenant A's dead letters, newest first.
async fn dead(host: &TestHost) -> Vec<String> {
    let call = host.call("GET", "/notifications?status=dead&limit=200").key(KEY_A);
    let items = call.send().await.json["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dead_letter_is_purged_by_its_id_and_what_is_not_dead_is_not() {
    let (host, first, _second) = two().await;
    first.then(Reply::status(400));
    let id = {
        let answer = host.send("first", "unwanted").await;
        answer.assert_problem(422, "rejected");
        answer.id()
    };
    let path = format!("/notifications/{id}/purge");
    let of_b = host.call("POST", &path).key(KEY_B).send().await;
    of_b.assert_problem(404, "unknown-notification");
    host.call("POST", &path).send().await.assert_problem(401, "no-key");
    let answer = purge(&host, &id).await;
    assert_eq!((answer.status, &answer.json), (200, &json!({"purged": 1, "skipped": 0})));
    host.notification(&id).await.assert_problem(404, "unknown-notification");
    purge(&host, &id).await.assert_problem(404, "unknown-notification");
    assert_eq!(host.metric("conductor_queue_notifications{state=\"dead\"}").await, 0.0);

    let delivered = host.send("first", "wanted").await.id();
    purge(&host, &delivered).await.assert_problem(409, "state-conflict");
    first.then(Reply::status(503).header("retry-after", "600"));
    let waiting = host.hand_over("first", "later").await;
    host.reaches(&waiting, "retrying").await;
    let answer = purge(&host, &waiting).await;
    answer.assert_problem(409, "state-conflict");
    assert_eq!(answer.json["notificationStatus"], "retrying");

    // The trail keeps what was, and what was done, over the restart.
    let host = host.restart().await;
    let trail = host.call("GET", "/admin/audit").key(KEY_ADMIN).send().await.text;
    let of_it: Vec<Value> = trail
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["notification"] == json!(id))
        .map(|line| line["kind"].clone())
        .collect();
    assert_eq!(of_it, ["accepted", "dead", "purged"]);
}

#[tokio::test]
async fn a_parent_goes_as_a_whole() {
    let (host, first, second) = two().await;
    first.otherwise(Reply::status(400));
    let both = json!({ "channels": ["first", "second"], "message": "to both" });
    let parent = host.notify(&both).send().await.id();
    let child = dead(&host).await.remove(0);
    let answer = purge(&host, &child).await;
    answer.assert_problem(409, "state-conflict");
    assert_eq!(answer.json["parentId"], json!(parent));
    let skipped = purge_range(&host, &json!({ "status": "dead" })).await;
    assert_eq!(skipped.json, json!({"purged": 0, "skipped": 1}));
    assert_eq!(purge(&host, &parent).await.json["purged"], 2);
    host.notification(&parent).await.assert_problem(404, "unknown-notification");
    assert_eq!(dead(&host).await, Vec::<String>::new());

    second.otherwise(Reply::status(400));
    let parent = host.notify(&both).send().await.id();
    // Both are on the page; the one takes the other along.
    let gone = purge_range(&host, &json!({ "status": "dead" })).await;
    assert_eq!(gone.json, json!({"purged": 2, "skipped": 0}));
    host.notification(&parent).await.assert_problem(404, "unknown-notification");
}

#[tokio::test]
async fn a_range_is_purged_in_steps_and_by_the_command() {
    let (host, first, second) = two().await;
    first.otherwise(Reply::status(400));
    second.otherwise(Reply::status(400));
    for channel in ["first", "first", "first", "second"] {
        host.send(channel, "unwanted").await.assert_problem(422, "rejected");
    }
    let range = |more: Value| {
        let mut body = json!({ "status": "dead", "channel": "first", "limit": 2 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let wrong = purge_range(&host, &json!({ "status": "delivered", "limit": 1000 })).await;
    wrong.assert_problem(400, "invalid-request");
    assert_eq!(wrong.pointers(), ["/status", "/limit"]);
    purge_range(&host, &json!({})).await.assert_problem(400, "invalid-request");
    let before = json!({ "to": "2020-01-01T00:00:00Z" });
    assert_eq!(purge_range(&host, &range(before)).await.json, json!({"purged": 0, "skipped": 0}));
    let answer = purge_range(&host, &range(json!({}))).await;
    assert_eq!((answer.status, &answer.json["purged"]), (200, &json!(2)));
    let next = range(json!({ "cursor": answer.json["nextCursor"] }));
    assert_eq!(purge_range(&host, &next).await.json, json!({"purged": 1, "skipped": 0}));
    assert_eq!(dead(&host).await.len(), 1, "the other channel's is left");

    let run = |args: &[&str]| {
        let mut command = conductor(&host);
        command.arg("purge").args(args).args(["--url", host.base(), "--tenant", "a"]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["--status", "dead", "--channel", "second"]);
    assert_eq!((code, text.trim()), (Some(0), "purged 1, passed over 0"));
    assert_eq!(dead(&host).await, Vec::<String>::new());
    assert_eq!(run(&[]).0, Some(64), "nothing is purged that was not named");
    assert_eq!(run(&["019aa7c4-5e00-7c3a-9b51-00000000ffff"]).0, Some(1));
}
