//! The HTTP contract, through the real thing: one status after the other.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::kit::{
    Answer, Folder, KEY_A, KEY_ADMIN, KEY_B, Provider, Reply, TENANT_A, TENANT_B, TestHost,
};

fn hello() -> Value {
    json!({"channel": "log", "message": "hello"})
}

/// A host with tenant A's webhook pointed at a double.
async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    (TestHost::start(folder).await, provider)
}

#[tokio::test]
async fn what_is_delivered_in_time_is_answered_with_all_that_is_known() {
    let host = TestHost::start(Folder::new()).await;
    let body = json!({"channel": "log", "message": "hello", "title": "t", "priority": "urgent"});
    let answer = host.notify(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let timestamp = answer.json["timestamp"].as_str().unwrap();
    assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
    assert_eq!(
        answer.json,
        json!({
            "success": true,
            "id": answer.id(),
            "tenantId": TENANT_A,
            "tenantName": "A",
            "channel": "log",
            "message": "hello",
            "priority": "urgent",
            "timestamp": timestamp,
            "status": "delivered",
            "providerId": answer.id(),
        })
    );
    let line = host.logged(&["hello", &answer.id()]).await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["tenant"], TENANT_A, "{line}");
    assert_eq!(line["channel"], "log", "{line}");
    assert_eq!(line["plugin"], "log", "{line}");
}

#[tokio::test]
async fn respond_async_is_answered_before_the_delivery_and_says_where_to_look() {
    let (host, provider) = with_provider().await;
    provider.hold();
    let body = json!({"channel": "webhook", "message": "later"});
    let answer = host.notify(&body).header("prefer", "respond-async").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json["status"], "queued");
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(answer.header("location"), format!("/notifications/{}", answer.id()));
    provider.asked(1).await;
    provider.release();
    let detail = host.reaches(&answer.id(), "delivered").await;
    assert_eq!(detail["message"], "later");
}

#[tokio::test]
async fn a_wait_that_is_over_first_ends_in_202() {
    let (host, provider) = with_provider().await;
    provider.hold();
    let body = json!({"channel": "webhook", "message": "slow"});
    let answer = host.notify(&body).header("prefer", "wait=1").send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (202, "wait=1"));
    assert_eq!(answer.json["status"], "queued");
    assert_eq!(answer.header("location"), format!("/notifications/{}", answer.id()));
    provider.release();
    host.reaches(&answer.id(), "delivered").await;
}

#[tokio::test]
async fn a_wait_that_is_long_enough_ends_in_200() {
    let (host, provider) = with_provider().await;
    provider.then(Reply::status(500));
    let body = json!({"channel": "webhook", "message": "second time"});
    let answer = host.notify(&body).header("prefer", "wait=30").send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, "wait=30"));
    assert_eq!(provider.seen().len(), 2);
}

#[tokio::test]
async fn what_the_provider_rejects_is_422_and_dead() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(400));
    let answer = host.send("webhook", "no").await;
    answer.assert_problem(422, "rejected");
    assert_eq!(answer.json["notificationStatus"], "dead");
    assert_eq!(answer.header("location"), format!("/notifications/{}", answer.id()));
    let detail = host.notification(&answer.id()).await.json;
    assert_eq!((&detail["status"], &detail["attemptCount"]), (&json!("dead"), &json!(1)));
    assert_eq!(detail["attempts"][0]["outcome"], "rejected");
    assert_eq!(provider.seen().len(), 1, "a rejected message is not sent again");
}

#[tokio::test]
async fn what_a_channel_cannot_send_by_its_credentials_is_424() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(410));
    let answer = host.send("webhook", "gone").await;
    answer.assert_problem(424, "channel-misconfigured");
    assert_eq!(answer.json["notificationStatus"], "dead");
    assert_eq!(host.notification(&answer.id()).await.json["status"], "dead");
}

#[tokio::test]
async fn what_is_wrong_in_a_request_is_told_with_pointers_and_not_stored() {
    let host = TestHost::start(Folder::new()).await;
    for (body, pointers) in [
        (json!({}), vec!["/channel", "/message"]),
        (json!([]), vec![""]),
        (json!({"channel": 1, "message": "x"}), vec!["/channel"]),
        (json!({"channel": "log", "message": ""}), vec!["/message"]),
        (json!({"channel": "log", "message": "x", "priority": "hi"}), vec!["/priority"]),
        (json!({"channel": "log", "message": "x", "mesage": "y"}), vec!["/mesage"]),
        (json!({"channel": "log", "message": "x", "sendAt": "soon"}), vec!["/sendAt"]),
        (
            json!({"channel": "log", "message": "x", "expiresAt": "2001-01-01T00:00:00Z"}),
            vec!["/expiresAt"],
        ),
        (json!({"channel": "log", "message": "x", "data": [1]}), vec!["/data"]),
        (
            json!({"channel": "log", "message": "x", "attachments": [{"name": "a"}]}),
            vec!["/attachments/0/contentType", "/attachments/0/content"],
        ),
    ] {
        let answer = host.notify(&body).send().await;
        answer.assert_problem(400, "invalid-request");
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    let page = host.call("GET", "/notifications").key(KEY_A).send().await;
    assert_eq!(page.json["items"], json!([]), "nothing of it was stored");
    assert_eq!(host.metric("conductor_accepted_total").await, 0.0);
}

#[tokio::test]
async fn a_call_without_a_key_is_401_and_one_with_a_wrong_key_403() {
    let host = TestHost::start(Folder::new()).await;
    for (method, path) in
        [("POST", "/notifications"), ("GET", "/notifications"), ("GET", "/channels")]
    {
        let answer = host.call(method, path).raw(hello().to_string()).send().await;
        answer.assert_problem(401, "no-key");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
        let basic = host.call(method, path).header("authorization", "Basic YTpi").send().await;
        basic.assert_problem(401, "no-key");
        for wrong in ["guessed", &KEY_A[1..], &KEY_A.to_uppercase(), KEY_ADMIN] {
            let answer = host.call(method, path).key(wrong).raw(hello().to_string()).send().await;
            answer.assert_problem(403, "wrong-key");
            assert!(!answer.text.contains(wrong), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_key_is_refused_where_the_name_that_was_called_is_another_tenants() {
    let mut folder = Folder::new();
    // Tables end at the next one, and tenant B's is the last.
    folder.tenants.push_str("domains = [\"b.example\"]\n");
    let host = TestHost::start(folder).await;
    let answer = host.notify(&hello()).header("host", "b.example").send().await;
    answer.assert_problem(403, "wrong-context");
    let answer = host
        .call("POST", "/notifications")
        .key(KEY_B)
        .json(&hello())
        .header("host", "B.Example:80")
        .send()
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_unknown_channel_is_404_and_names_the_known_ones() {
    let (host, _provider) = with_provider().await;
    let answer = host.send("telegraph", "x").await;
    answer.assert_problem(404, "unknown-channel");
    assert_eq!(answer.json["knownChannels"], json!(["log", "webhook"]));
    assert_eq!(answer.pointers(), ["/channel"]);
    // Tenant B has no webhook.
    let body = json!({"channel": "webhook", "message": "x"});
    let answer = host.call("POST", "/notifications").key(KEY_B).json(&body).send().await;
    answer.assert_problem(404, "unknown-channel");
    assert_eq!(answer.json["knownChannels"], json!(["log"]));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_whether_announced_or_not() {
    let host = TestHost::start(Folder::new()).await;
    let large = json!({"channel": "log", "message": "x".repeat(300 * 1024)});
    host.notify(&large).send().await.assert_problem(413, "body-too-large");
    let parts = (0..300).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1024]));
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(parts));
    let call = host.call("POST", "/notifications").key(KEY_A).raw(stream);
    call.send().await.assert_problem(413, "body-too-large");
    assert_eq!(host.send("log", "the next").await.status, 200);
}

#[tokio::test]
async fn who_writes_on_after_a_refusal_still_reads_it() {
    let host = TestHost::start(Folder::new()).await;
    // More than the buffers of both sides hold, and nothing is read before all of it is written.
    let body = vec![b' '; 6 << 20];
    for (key, status) in [(KEY_A, "413"), ("nobody's", "403")] {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let head = format!(
            "POST /notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_to_be_json_is_415() {
    let host = TestHost::start(Folder::new()).await;
    let call = |kind: Option<&str>| {
        let call = host.call("POST", "/notifications").key(KEY_A).untyped(hello().to_string());
        match kind {
            Some(kind) => call.header("content-type", kind),
            None => call,
        }
    };
    for kind in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        call(kind).send().await.assert_problem(415, "unsupported-media-type");
    }
    assert_eq!(call(Some("application/json; charset=utf-8")).send().await.status, 200);
}

#[tokio::test]
async fn a_repeated_idempotency_key_is_answered_with_the_first_result() {
    let (host, provider) = with_provider().await;
    let call = |message: &str| {
        let body = json!({"channel": "webhook", "message": message});
        host.notify(&body).header("idempotency-key", "order-66")
    };
    let first = call("once").send().await;
    assert_eq!((first.status, first.header("idempotency-replay")), (200, ""));
    let second = call("once").send().await;
    assert_eq!((second.status, second.header("idempotency-replay")), (200, "true"));
    for member in ["id", "status", "message", "providerId", "channel", "tenantId"] {
        assert_eq!(first.json[member], second.json[member]);
    }
    assert_eq!(provider.seen().len(), 1, "it was sent once");

    let other = call("another message").send().await;
    other.assert_problem(422, "idempotency-key-reused");
    assert_eq!(other.id(), first.id());

    let body = json!({"channel": "log", "message": "of tenant B"});
    let b = host.call("POST", "/notifications").key(KEY_B).json(&body);
    let b = b.header("idempotency-key", "order-66").send().await;
    assert_eq!((b.status, b.header("idempotency-replay")), (200, ""), "keys are a tenant's own");
}

#[tokio::test]
async fn an_idempotency_key_that_is_being_answered_is_409() {
    let (host, provider) = with_provider().await;
    provider.hold();
    let body = json!({"channel": "webhook", "message": "once"});
    let call = || host.notify(&body).header("idempotency-key", "k").header("prefer", "wait=30");
    let (first, second) = tokio::join!(call().send(), async {
        provider.asked(1).await;
        let second = call().send().await;
        provider.release();
        second
    });
    second.assert_problem(409, "idempotency-in-progress");
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(first.status, 200);
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn an_idempotency_key_outlives_a_crash() {
    let (host, provider) = with_provider().await;
    let body = json!({"channel": "webhook", "message": "once"});
    let first = host.notify(&body).header("idempotency-key", "k").send().await;
    let host = host.restart().await;
    let second = host.notify(&body).header("idempotency-key", "k").send().await;
    assert_eq!((second.header("idempotency-replay"), second.id()), ("true", first.id()));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn notifications_are_listed_by_pages_and_filters_newest_first() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(400));
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(host.send("log", &format!("number {n}")).await.id());
    }
    let dead = host.send("webhook", "rejected").await.id();
    let list = async |query: &str| -> Answer {
        host.call("GET", &format!("/notifications{query}")).key(KEY_A).send().await
    };
    let of = |answer: &Answer| -> Vec<String> {
        let items = answer.json["items"].as_array().unwrap();
        items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest_first: Vec<String> =
        std::iter::once(dead.clone()).chain(ids.iter().rev().cloned()).collect();
    assert_eq!(of(&list("").await), newest_first);
    assert_eq!(of(&list("?status=dead").await), std::slice::from_ref(&dead));
    assert_eq!(of(&list("?channel=webhook").await), [dead]);

    let (mut pages, mut query) = (Vec::new(), String::from("?limit=4"));
    loop {
        let page = list(&query).await;
        pages.push(of(&page));
        let Some(cursor) = page.json["nextCursor"].as_str() else { break };
        query = format!("?limit=4&cursor={cursor}");
    }
    assert_eq!(pages.concat(), newest_first);
    assert_eq!(pages[0].len(), 4);

    for wrong in
        ["?status=lost", "?limit=0", "?limit=many", "?cursor=x", "?from=now", "?stauts=dead"]
    {
        let answer = list(wrong).await;
        answer.assert_problem(400, "invalid-request");
        assert!(answer.json["errors"][0]["parameter"].is_string(), "{wrong}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_not_due_yet_can_be_cancelled_and_what_is_over_cannot() {
    let host = TestHost::start(Folder::new()).await;
    let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
    let future = json!({"channel": "log", "message": "x", "sendAt": tomorrow.to_string()});
    let answer = host.notify(&future).send().await;
    assert_eq!((answer.status, &answer.json["status"]), (202, &json!("queued")));
    let path = format!("/notifications/{}", answer.id());
    let cancelled = host.call("DELETE", &path).key(KEY_A).send().await;
    assert_eq!((cancelled.status, &cancelled.json["status"]), (200, &json!("cancelled")));
    assert_eq!(host.notification(&answer.id()).await.json["status"], "cancelled");

    let sent = host.send("log", "over").await.id();
    let path = format!("/notifications/{sent}");
    host.call("DELETE", &path).key(KEY_A).send().await.assert_problem(409, "state-conflict");
}

#[tokio::test]
async fn what_was_given_up_can_be_replayed() {
    let (host, provider) = with_provider().await;
    provider.then(Reply::status(400));
    let id = host.send("webhook", "again").await.id();
    let path = format!("/notifications/{id}/replay");
    let answer = host.call("POST", &path).key(KEY_A).send().await;
    assert_eq!((answer.status, answer.header("location").len()), (202, 51), "{answer:?}");
    let detail = host.reaches(&id, "delivered").await;
    assert_eq!(detail["replayCount"], 1);
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 2, "{detail}");
    let seen = provider.seen();
    assert_ne!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
}

#[tokio::test]
async fn a_tenant_sees_and_touches_nothing_of_another() {
    let host = TestHost::start(Folder::new()).await;
    let id = host.send("log", "for A only").await.id();
    for (method, path) in [
        ("GET", format!("/notifications/{id}")),
        ("DELETE", format!("/notifications/{id}")),
        ("POST", format!("/notifications/{id}/replay")),
    ] {
        let answer = host.call(method, &path).key(KEY_B).send().await;
        answer.assert_problem(404, "unknown-notification");
        assert!(!answer.text.contains("for A only"));
    }
    let page = host.call("GET", "/notifications").key(KEY_B).send().await;
    assert_eq!(page.json["items"], json!([]));
    assert_eq!(host.notification(&id).await.json["status"], "delivered");
}

#[tokio::test]
async fn an_id_that_is_none_is_404() {
    let host = TestHost::start(Folder::new()).await;
    for id in ["x", "019aa7c4-5e00-7c3a-9b51-000000000000", "..%2f", "%ff"] {
        let answer = host.notification(id).await;
        answer.assert_problem(404, "unknown-notification");
    }
    host.get("/no/such/path").await.assert_problem(404, "unknown-path");
    let answer = host.call("PUT", "/notifications").key(KEY_A).send().await;
    answer.assert_problem(405, "method-not-allowed");
    assert!(answer.header("allow").contains("POST"), "{answer:?}");
}

#[tokio::test]
async fn channels_are_listed_with_their_schema_and_without_options_or_secrets() {
    let (host, provider) = with_provider().await;
    let answer = host.call("GET", "/channels").key(KEY_A).send().await;
    assert_eq!(answer.status, 200);
    let items = answer.json["items"].as_array().unwrap();
    let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["log", "webhook"]);
    assert_eq!(items[1]["optionsSchema"]["required"], json!(["url"]));
    assert!(items.iter().all(|item| item["version"].is_string()), "{items:?}");
    assert!(!answer.text.contains(&provider.url("")), "options stay with the operator");
}

#[tokio::test]
async fn both_keys_of_a_rotation_work_and_no_third() {
    let mut folder = Folder::new();
    folder.tenants = folder
        .tenants
        .replace("auth_key_env = \"A_KEY\"", "auth_key_envs = [\"A_KEY\", \"A_KEY_NEXT\"]");
    let next = "next-key-of-tenant-a-0123456789abcdef0123456";
    folder.env("A_KEY_NEXT", next);
    let host = TestHost::start(folder).await;
    for key in [KEY_A, next] {
        let answer = host.call("POST", "/notifications").key(key).json(&hello()).send().await;
        assert_eq!((answer.status, &answer.json["tenantId"]), (200, &json!(TENANT_A)));
    }
    let answer = host.call("POST", "/notifications").key(KEY_B).json(&hello()).send().await;
    assert_eq!(answer.json["tenantId"], TENANT_B);
}

#[tokio::test]
async fn a_tenant_above_its_rate_is_told_when_to_come_back_and_others_are_not() {
    let mut folder = Folder::new();
    folder.tenants = folder.tenants.replace(
        "auth_key_env = \"A_KEY\"\n",
        "auth_key_env = \"A_KEY\"\n[tenant.limits]\nrate = 0.01\nburst = 2\n",
    );
    let host = TestHost::start(folder).await;
    let statuses = [host.send("log", "1").await.status, host.send("log", "2").await.status];
    assert_eq!(statuses, [200, 200]);
    let answer = host.send("log", "3").await;
    answer.assert_problem(429, "rate-limited");
    let after: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=100).contains(&after), "{after}");
    let b = host.call("POST", "/notifications").key(KEY_B).json(&hello()).send().await;
    assert_eq!(b.status, 200);
}

#[tokio::test]
async fn a_tenant_with_a_full_queue_is_refused_and_others_are_not() {
    let provider = Provider::start().await;
    provider.hold();
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    folder.tenants = folder.tenants.replace(
        "auth_key_env = \"A_KEY\"\n",
        "auth_key_env = \"A_KEY\"\n[tenant.limits]\nqueue = 2\n",
    );
    let host = TestHost::start(folder).await;
    host.hand_over("webhook", "1").await;
    host.hand_over("webhook", "2").await;
    let answer = host.send("webhook", "3").await;
    answer.assert_problem(429, "queue-full");
    assert!(!answer.header("retry-after").is_empty());
    let b = host.call("POST", "/notifications").key(KEY_B).json(&hello()).send().await;
    assert_eq!(b.status, 200);
    provider.release();
}

#[tokio::test]
async fn health_ready_and_metrics_are_open_and_count() {
    let host = TestHost::start(Folder::new()).await;
    assert_eq!(host.send("log", "counted").await.status, 200);
    let health = host.get("/health").await;
    assert_eq!((health.status, &health.json["status"]), (200, &json!("ok")));
    assert_eq!(health.json["queue"]["delivered"], 1);
    assert_eq!(
        (health.json["tenants"].as_u64(), health.json["generation"].as_u64()),
        (Some(2), Some(1))
    );
    let ready = host.get("/ready").await;
    assert_eq!((ready.status, &ready.json["status"]), (200, &json!("ready")));
    for (metric, value) in [
        ("conductor_accepted_total", 1.0),
        ("conductor_http_requests_total{route=\"POST /notifications\",status=\"2xx\"}", 1.0),
        ("conductor_deliveries_total{plugin=\"log\",outcome=\"delivered\"}", 1.0),
        ("conductor_queue_notifications{state=\"delivered\"}", 1.0),
        ("conductor_generation", 1.0),
    ] {
        assert_eq!(host.metric(metric).await, value, "{metric}");
    }
}
