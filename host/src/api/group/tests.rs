use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};

use crate::{
    api::kit::{Answer, Host, NOW, call, channel, post, tenant},
    ids::NotificationId,
    outcomes::Ending,
    store::{
        Attempt, Lane, NewNotification, Outcome, Priority, Settle, Store, StoreError, Want,
        memory::MemoryStore,
    },
};

const TENANT: &str = "00000000-0000-0000-0000-000000000001";

/// How a channel is to end.
enum End {
    Delivered,
    Dead(&'static str),
    Retry,
    /// Dead, and this channel takes over.
    Next(&'static str),
}

/// A host on an engine that knows groups.
fn host() -> (Host, Arc<MemoryStore>) {
    with(vec![tenant(1), tenant(2)])
}

fn with(tenants: Vec<crate::config::Tenant>) -> (Host, Arc<MemoryStore>) {
    let host = Host::with(tenants);
    let mut state = host.state.clone();
    let store = MemoryStore::new(state.clock.clone());
    state.store = Arc::clone(&store) as Arc<dyn Store>;
    let surface = crate::api::Surface::new(state.clone());
    (Host { surface, state, store: host.store }, store)
}

fn lane(channel: &str) -> Lane {
    Lane { tenant: TENANT.parse().unwrap(), channel: channel.parse().unwrap() }
}

/// Does the next job of a channel as a dispatcher would, and tells who waits for the parent.
async fn work(host: &Host, channel: &str, end: End) {
    let store = &host.state.store;
    let wants = vec![Want { lane: lane(channel), max: 1 }];
    let leased = store.lease(wants, Duration::from_secs(9)).await.unwrap().pop().unwrap();
    let attempt = Attempt {
        started: NOW,
        took_ms: 1,
        outcome: match &end {
            End::Delivered => "delivered".into(),
            End::Dead(word) => String::from(*word).into(),
            End::Retry | End::Next(_) => "retry".into(),
        },
        code: None,
        detail: (!matches!(end, End::Delivered)).then(|| String::from("no luck")),
        provider_id: Some(format!("p-{channel}")).filter(|_| matches!(end, End::Delivered)),
        digest: None,
        counts: true,
    };
    let follow = match &end {
        End::Next(next) => vec![NewNotification {
            id: NotificationId::generate(),
            lane: lane(next),
            priority: Priority::Normal,
            due: NOW,
            expires: None,
            idempotency: None,
            payload: leased.payload.clone(),
            live_max: u64::MAX,
            parent: leased.parent,
            ordering_key: None,
        }],
        _ => Vec::new(),
    };
    let outcome = match end {
        End::Delivered => Outcome::Delivered,
        End::Retry => Outcome::Retry { due: NOW, counts: true },
        End::Dead(_) | End::Next(_) => Outcome::Dead,
    };
    let settle = Settle { token: leased.token, outcome, attempt: Some(attempt), follow };
    let settled = store.settle(vec![settle]).await.unwrap();
    if let [crate::store::Settled::Done { parent: Some(end) }] = settled.as_slice() {
        host.state.outcomes.tell(end.id, Ending::Delivered { provider_id: None });
    }
}

fn both() -> Value {
    json!({"channels": ["log", "chat"], "message": "hello", "priority": "high"})
}

/// Posts, and works when it is accepted.
async fn post_and_work(host: &Host, body: &Value, ends: Vec<(&str, End)>) -> Answer {
    let (answer, ()) = tokio::join!(host.send(post(body, &[("prefer", "wait=5")])), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        for (channel, end) in ends {
            work(host, channel, end).await;
        }
    });
    answer
}

#[tokio::test]
async fn a_message_for_two_channels_is_200_when_both_have_it() {
    let (host, _) = host();
    let ends = vec![("chat", End::Delivered), ("log", End::Delivered)];
    let answer = post_and_work(&host, &both(), ends).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["success"], true);
    assert_eq!((&body["status"], &body["message"]), (&json!("delivered"), &json!("hello")));
    assert_eq!((&body["priority"], &body["tenantName"]), (&json!("high"), &json!("Tenant 1")));
    assert!(body.get("channel").is_none() && body.get("providerId").is_none(), "{body}");
    let channels = body["channels"].as_array().unwrap();
    let of = |name: &str| channels.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("channel"), ["log", "chat"]);
    assert_eq!(of("status"), ["delivered", "delivered"]);
    assert_eq!(of("providerId"), ["p-log", "p-chat"]);
    assert_eq!(answer.header("vary"), "prefer");
}

#[tokio::test]
async fn while_a_channel_is_open_it_is_202_with_the_location_of_the_whole() {
    let (host, _) = host();
    let answer = host.send(post(&both(), &[("prefer", "respond-async")])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let body = answer.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/notifications/{id}"));
    assert_eq!(body["status"], "queued");
    assert_eq!(body["channels"][1]["status"], "queued");

    work(&host, "log", End::Delivered).await;
    let read = host.get(&format!("/notifications/{id}")).await.json();
    assert_eq!(read["status"], "queued", "{read}");
    work(&host, "chat", End::Retry).await;
    let read = host.get(&format!("/notifications/{id}")).await.json();
    assert_eq!((&read["status"], &read["message"]), (&json!("retrying"), &json!("hello")));
    let channels = read["channels"].as_array().unwrap();
    assert_eq!(channels[0]["status"], "delivered");
    assert_eq!(channels[1]["error"], "no luck");
    assert_eq!(channels[1]["notifications"][0]["attempts"][0]["outcome"], "retry");
    assert_eq!(channels[1]["notifications"][0]["parentId"], id);

    let waited = host.send(post(&both(), &[("prefer", "wait=1")])).await;
    assert_eq!(waited.status, StatusCode::ACCEPTED);
    assert_eq!(waited.json()["status"], "queued");
}

#[tokio::test]
async fn delivered_by_some_is_200_without_success() {
    let (host, _) = host();
    let ends = vec![("log", End::Dead("rejected")), ("chat", End::Delivered)];
    let answer = post_and_work(&host, &both(), ends).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!((&body["success"], &body["status"]), (&json!(false), &json!("partial")));
    assert_eq!(body["channels"][0]["status"], "dead");
    assert_eq!(body["channels"][0]["error"], "no luck");
    let read = host.get(&format!("/notifications/{}", body["id"].as_str().unwrap())).await;
    assert_eq!(read.json()["status"], "partial");
}

#[tokio::test]
async fn delivered_by_none_is_the_problem_that_all_have_in_common() {
    for (first, second, status, slug) in [
        ("rejected", "moved", 422, "rejected"),
        ("misconfigured", "misconfigured", 424, "channel-misconfigured"),
        ("rejected", "crashed", 424, "delivery-failed"),
        ("misconfigured", "rejected", 424, "delivery-failed"),
    ] {
        let (host, _) = host();
        let ends = vec![("log", End::Dead(first)), ("chat", End::Dead(second))];
        let answer = post_and_work(&host, &both(), ends).await;
        assert_eq!(answer.status.as_u16(), status, "{first} {second}");
        assert_eq!(answer.problem(), slug);
        let body = answer.json();
        assert_eq!(body["notificationStatus"], "dead");
        assert_eq!(body["channels"].as_array().unwrap().len(), 2);
        assert_eq!(
            answer.header("location"),
            format!("/notifications/{}", body["id"].as_str().unwrap())
        );
    }
}

#[tokio::test]
async fn what_another_channel_has_delivered_is_told_as_such() {
    let (host, _) = host();
    let body = json!({"channel": "log", "message": "hello", "fallback": ["chat"]});
    let ends = vec![("log", End::Next("chat")), ("chat", End::Delivered)];
    let answer = post_and_work(&host, &body, ends).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["success"], &body["channel"]), (&json!(true), &json!("log")));
    assert_eq!((&body["status"], &body["providerId"]), (&json!("delivered"), &json!("p-chat")));
    assert_eq!(body["channels"][0]["via"], "chat");
    let read = host.get(&format!("/notifications/{}", body["id"].as_str().unwrap())).await.json();
    let notifications = read["channels"][0]["notifications"].as_array().unwrap();
    let of = |name: &str| notifications.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("channel"), ["log", "chat"]);
    assert_eq!(of("status"), ["dead", "delivered"]);
    assert_eq!(read["status"], "delivered");

    let body = json!({"channel": "log", "message": "hello", "fallback": ["chat"]});
    let ends = vec![("log", End::Next("chat")), ("chat", End::Dead("rejected"))];
    let answer = post_and_work(&host, &body, ends).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "rejected"));
    assert_eq!(answer.json()["outcome"], "rejected");
    assert!(answer.json()["detail"].as_str().unwrap().contains("\"chat\""), "{answer:?}");
}

#[tokio::test]
async fn the_fallback_of_the_configuration_makes_a_parent_too_and_of_no_other_channel() {
    let mut careful = tenant(1);
    let mut log = channel("log", "log");
    log.fallback = vec!["chat".parse().unwrap()];
    careful.channels.insert(log.name.clone(), Arc::new(log));
    let (host, _) = with(vec![careful]);
    for (channel, is_parent) in [("log", true), ("chat", false)] {
        let body = json!({"channel": channel, "message": "m"});
        let answer = host.send(post(&body, &[("prefer", "respond-async")])).await.json();
        assert_eq!(answer["channels"].is_array(), is_parent, "{answer}");
        assert_eq!(answer["channel"], channel);
    }
}

#[tokio::test]
async fn every_channel_that_is_not_there_is_named_with_its_place() {
    let (host, _) = host();
    let body = json!({"channels": ["lgo", "chat", "nope"], "message": "m"});
    let answer = host.post(&body).await;
    assert_eq!(answer.problem(), "unknown-channel");
    let body = answer.json();
    let pointers: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/channels/0", "/channels/2"]);
    assert_eq!(body["knownChannels"], json!(["chat", "lazy", "log"]));
    let body = json!({"channel": "log", "message": "m", "fallback": ["chat", "nope"]});
    let answer = host.post(&body).await.json();
    assert_eq!(answer["errors"][0]["pointer"], "/fallback/1");
    let long = json!({"channels": ["log", "chat"], "message": "12345678901"});
    assert_eq!(host.post(&long).await.problem(), "message-too-long");
    let long = json!({"channel": "log", "fallback": ["chat"], "message": "12345678901"});
    assert_eq!(host.post(&long).await.problem(), "message-too-long");
}

#[tokio::test]
async fn a_key_stands_for_the_whole() {
    let (host, _) = host();
    let keyed = [("idempotency-key", "k1"), ("prefer", "respond-async")];
    let first = host.send(post(&both(), &keyed)).await;
    let again = host.send(post(&both(), &keyed)).await;
    assert_eq!(again.status, StatusCode::ACCEPTED, "{again:?}");
    assert_eq!(again.header("idempotency-replay"), "true");
    for name in ["id", "message", "priority", "channels", "timestamp"] {
        assert_eq!(first.json()[name], again.json()[name], "{name}");
    }
    work(&host, "log", End::Delivered).await;
    work(&host, "chat", End::Delivered).await;
    let done = host.send(post(&both(), &keyed)).await;
    assert_eq!((done.status, &done.json()["status"]), (StatusCode::OK, &json!("delivered")));
    let other = json!({"channels": ["log"], "message": "other"});
    let answer = host.send(post(&other, &keyed)).await;
    assert_eq!(answer.problem(), "idempotency-key-reused");
}

#[tokio::test]
async fn a_group_that_does_not_fit_the_queue_is_refused_whole() {
    let mut small = tenant(1);
    small.limits.queue_max = 1;
    let (host, _) = with(vec![small]);
    assert_eq!(host.post(&both()).await.problem(), "queue-full");
    assert_eq!(host.get("/notifications").await.json(), json!({"items": []}));
    let failing = Host::new();
    failing.store.fail_with(Some(StoreError::Unknown(String::from("x"))));
    assert_eq!(failing.post(&both()).await.problem(), "outcome-unknown");
    let mute = Host::new();
    assert_eq!(mute.post(&both()).await.problem(), "outcome-unknown");
}

#[tokio::test]
async fn a_whole_is_cancelled_as_far_as_it_is_not_sent() {
    let (host, _) = host();
    let fast = [("prefer", "respond-async")];
    let id = host.send(post(&both(), &fast)).await.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/notifications/{id}");
    let cancel = || host.send(call(Method::DELETE, &path, Body::empty()));
    work(&host, "log", End::Delivered).await;
    let answer = cancel().await;
    assert_eq!((answer.status, &answer.json()["status"]), (StatusCode::OK, &json!("partial")));
    assert_eq!(host.get(&path).await.json()["channels"][1]["status"], "cancelled");

    let (first, ()) = tokio::join!(host.send(post(&both(), &[("prefer", "wait=9")])), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let list = host.get("/notifications?status=queued").await.json();
        let id = list["items"][0]["parentId"].as_str().unwrap();
        let answer =
            host.send(call(Method::DELETE, &format!("/notifications/{id}"), Body::empty()));
        assert_eq!(answer.await.json()["status"], "cancelled");
    });
    assert_eq!(first.problem(), "cancelled");

    let done =
        post_and_work(&host, &both(), vec![("log", End::Delivered), ("chat", End::Delivered)])
            .await;
    let path = format!("/notifications/{}", done.json()["id"].as_str().unwrap());
    let answer = host.send(call(Method::DELETE, &path, Body::empty())).await;
    assert_eq!(answer.problem(), "state-conflict");
}

#[tokio::test]
async fn the_last_open_part_that_is_cancelled_by_its_own_id_ends_the_wait_for_the_whole() {
    let (host, _) = host();
    let started = std::time::Instant::now();
    let (first, ()) = tokio::join!(host.send(post(&both(), &[("prefer", "wait=20")])), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        work(&host, "log", End::Delivered).await;
        let list = host.get("/notifications?status=queued").await.json();
        let child = list["items"][0]["id"].as_str().unwrap();
        let path = format!("/notifications/{child}");
        let answer = host.send(call(Method::DELETE, &path, Body::empty())).await;
        assert_eq!(answer.json()["status"], "cancelled");
    });
    assert_eq!((first.status, &first.json()["status"]), (StatusCode::OK, &json!("partial")));
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn another_tenants_parent_is_not_there() {
    let (host, _) = host();
    let fast = [("prefer", "respond-async")];
    let id = host.send(post(&both(), &fast)).await.json()["id"].as_str().unwrap().to_owned();
    for (method, path) in [
        (Method::GET, format!("/notifications/{id}")),
        (Method::DELETE, format!("/notifications/{id}")),
        (Method::POST, format!("/notifications/{id}/replay")),
    ] {
        let mut request = call(method, &path, Body::empty());
        request.headers_mut().insert("authorization", "Bearer key-2".parse().unwrap());
        assert_eq!(host.send(request).await.problem(), "unknown-notification");
    }
}

#[tokio::test]
async fn only_what_has_failed_of_a_whole_is_sent_again() {
    let (host, _) = host();
    let ends = vec![("log", End::Dead("rejected")), ("chat", End::Delivered)];
    let answer = post_and_work(&host, &both(), ends).await.json();
    let path = format!("/notifications/{}", answer["id"].as_str().unwrap());
    let replay = || host.send(call(Method::POST, &format!("{path}/replay"), Body::empty()));
    assert_eq!(replay().await.status, StatusCode::ACCEPTED);
    assert_eq!(replay().await.problem(), "state-conflict");
    work(&host, "log", End::Delivered).await;
    let read = host.get(&path).await.json();
    assert_eq!(read["status"], "delivered", "{read}");
    assert_eq!(read["channels"][0]["notifications"][0]["replayCount"], 1);
    assert_eq!(read["channels"][1]["notifications"][0]["replayCount"], 0);
    let answer = replay().await;
    assert!(answer.text.contains("nothing to replay"), "{answer:?}");
}

#[tokio::test]
async fn a_range_of_dead_letters_is_replayed_in_chunks_and_what_a_fallback_delivered_is_not() {
    let (host, _) = host();
    let send = async |body: &Value| host.send(post(body, &[("prefer", "respond-async")])).await;
    for n in 0..3 {
        send(&json!({"channel": "log", "message": format!("{n}")})).await;
        work(&host, "log", End::Dead("rejected")).await;
    }
    let saved = json!({"channel": "log", "message": "saved", "fallback": ["chat"]});
    send(&saved).await;
    work(&host, "log", End::Next("chat")).await;
    work(&host, "chat", End::Delivered).await;
    let lost = json!({"channel": "log", "message": "lost", "fallback": ["chat"]});
    send(&lost).await;
    work(&host, "log", End::Next("chat")).await;
    work(&host, "chat", End::Dead("rejected")).await;

    let replay = async |body: Value| {
        let mut request = post(&body, &[]);
        *request.uri_mut() = "/notifications/replay".parse().unwrap();
        host.send(request).await
    };
    // The newest: both of "lost", which are one, and "saved", which is none.
    let answer = replay(json!({"status": "dead", "limit": 3})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let body = answer.json();
    assert_eq!((&body["replayed"], &body["skipped"]), (&json!(1), &json!(2)), "{body}");
    let cursor = body["nextCursor"].as_str().unwrap().to_owned();
    let body = replay(json!({"status": "dead", "limit": 2, "cursor": cursor})).await.json();
    assert_eq!(body["replayed"], 2);
    let cursor = body["nextCursor"].as_str().unwrap().to_owned();
    let body = replay(json!({"status": "dead", "cursor": cursor})).await.json();
    assert_eq!(body, json!({"replayed": 1, "skipped": 0}));
    let queued = host.get("/notifications?status=queued").await.json();
    assert_eq!(queued["items"].as_array().unwrap().len(), 4);
    let dead = host.get("/notifications?status=dead").await.json();
    let dead: Vec<_> =
        dead["items"].as_array().unwrap().iter().map(|one| one["channel"].clone()).collect();
    assert_eq!(dead, ["chat", "log"], "what took over of the one, the first of the other");
    let none = replay(json!({"status": "dead", "to": "2020-01-01T00:00:00Z"})).await.json();
    assert_eq!(none, json!({"replayed": 0, "skipped": 0}));
}

#[tokio::test]
async fn a_batch_takes_groups_too() {
    let (host, _) = host();
    let send = async |body: &Value| {
        let mut request = post(body, &[("idempotency-key", "k")]);
        *request.uri_mut() = "/notifications/batch".parse().unwrap();
        host.send(request).await.json()
    };
    let single = json!({"channel": "log", "message": "m"});
    let body = json!([both(), single, {"channels": ["nope"], "message": "m"}, both()]);
    let answer = send(&body).await;
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(3), &json!(1)), "{answer}");
    for (index, branches) in [(0, 2), (3, 2)] {
        let id = answer["results"][index]["id"].as_str().unwrap();
        let read = host.get(&format!("/notifications/{id}")).await.json();
        assert_eq!(read["channels"].as_array().unwrap().len(), branches);
    }
    let again = send(&body).await;
    assert_eq!(again["results"][3]["id"], answer["results"][3]["id"]);
    assert_eq!(again["results"][3]["replay"], true);
    let wide = json!({"channels": ["log", "chat", "lazy"], "message": "m"});
    let many: Vec<_> = (0..100).map(|_| wide.clone()).collect();
    let answer = send(&json!(many)).await;
    assert_eq!(answer["results"][70]["problem"]["errors"][0]["pointer"], "/channels");
}

#[tokio::test]
async fn what_waits_for_its_ordering_key_says_for_whom() {
    let (host, _) = host();
    let send = async |key: &str| {
        let body = json!({"channel": "log", "message": "m", "orderingKey": key});
        let answer = host.send(post(&body, &[("prefer", "respond-async")])).await.json();
        answer["id"].as_str().unwrap().to_owned()
    };
    let (first, second, other) = (send("a").await, send("a").await, send("b").await);
    let read = async |id: &str| host.get(&format!("/notifications/{id}")).await.json();
    assert_eq!(read(&second).await["blockedBy"], first);
    assert!(read(&first).await.get("blockedBy").is_none());
    assert!(read(&other).await.get("blockedBy").is_none());
    work(&host, "log", End::Delivered).await;
    assert!(read(&second).await.get("blockedBy").is_none());
}

#[tokio::test]
async fn a_callback_goes_only_where_the_configuration_says() {
    use crate::config::{Callback, CallbackEvent, Origin};
    let entry = |url: Option<&str>, addresses: &[&str]| {
        Arc::new(Callback {
            url: url.map(Arc::from),
            secrets: Vec::new(),
            events: CallbackEvent::ALL.into(),
            addresses: addresses.iter().map(|range| range.parse().unwrap()).collect(),
            origin: Origin { file: Arc::from("test"), line: 1 },
        })
    };
    let named = "http://10.0.0.1/hook";
    let any = entry(None, &[]);
    for (callbacks, url, is_open) in [
        (Vec::new(), "https://example.org", false),
        (vec![any.clone()], "https://example.org", true),
        (vec![any.clone()], "http://example.org", false),
        (vec![entry(Some(named), &["10.0.0.0/8"])], named, true),
        (vec![entry(Some(named), &["10.0.0.0/8"])], "https://example.org", false),
    ] {
        let mut told = tenant(1);
        told.callbacks = callbacks;
        let (host, _) = with(vec![told]);
        let body = json!({"channel": "log", "message": "m", "callbackUrl": url});
        let answer = host.send(post(&body, &[("prefer", "respond-async")])).await;
        if is_open {
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{url}");
        } else {
            assert_eq!(answer.problem(), "invalid-request", "{url}");
            assert_eq!(answer.json()["errors"][0]["pointer"], "/callbackUrl");
        }
    }
}
