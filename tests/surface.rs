//! The rest of the HTTP surface: batches, the description of it, pages of browsers.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::kit::{Answer, Folder, KEY_A, KEY_B, TestHost, conductor, eventually};

async fn batch(host: &TestHost, body: &Value) -> Answer {
    host.call("POST", "/notifications/batch").key(KEY_A).json(body).send().await
}

#[tokio::test]
async fn of_a_batch_each_is_accepted_or_refused_for_itself() {
    let host = TestHost::start(Folder::new()).await;
    let answer = batch(
        &host,
        &json!([
            {"channel": "log", "message": "first of three"},
            {"channel": "telegraph", "message": "no such channel"},
            {"channel": "log"},
            "no object",
            {"channel": "log", "message": "last of three"},
        ]),
    )
    .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!((&answer.json["accepted"], &answer.json["refused"]), (&json!(2), &json!(3)));
    let results = answer.json["results"].as_array().unwrap();
    let successes: Vec<_> = results.iter().map(|one| one["success"].as_bool().unwrap()).collect();
    assert_eq!(successes, [true, false, false, false, true]);
    assert_eq!(results[1]["problem"]["status"], 404);
    assert_eq!(results[2]["problem"]["status"], 400);
    for (index, message) in [(0, "first of three"), (4, "last of three")] {
        let id = results[index]["id"].as_str().unwrap();
        let detail = host.reaches(id, "delivered").await;
        assert_eq!(detail["message"], message);
        host.logged(&[message, id]).await;
    }
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let host = TestHost::start(Folder::new()).await;
    let many = vec![json!({"channel": "log", "message": "x"}); 101];
    for body in [json!({}), json!([]), json!("x"), json!(many)] {
        batch(&host, &body).await.assert_problem(400, "invalid-request");
    }
    let call = host.call("POST", "/notifications/batch").json(&json!([]));
    call.send().await.assert_problem(401, "no-key");
    assert_eq!(host.metric("conductor_accepted_total").await, 0.0);
}

#[tokio::test]
async fn a_repeated_batch_is_accepted_once() {
    let host = TestHost::start(Folder::new()).await;
    let body = json!([{"channel": "log", "message": "a"}, {"channel": "log", "message": "b"}]);
    let call = || {
        let call = host.call("POST", "/notifications/batch").key(KEY_A);
        call.json(&body).header("idempotency-key", "batch").send()
    };
    let (first, second) = (call().await, call().await);
    let ids = |answer: &Answer| -> Vec<Value> {
        answer.json["results"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    assert_eq!((first.status, second.status), (202, 202), "{second:?}");
    assert_eq!(ids(&first), ids(&second));
    eventually("both are delivered", async || {
        (host.health().await["queue"]["delivered"] == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_description_that_is_served_is_the_one_of_the_command() {
    let host = TestHost::start(Folder::new()).await;
    let served = host.get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert!(served.json["openapi"].as_str().unwrap().starts_with("3.1"), "{served:?}");
    let output = conductor(&host).arg("openapi").stderr(Stdio::inherit()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, served.json);
}

/// Every path of the description is there and answers as it says to a call without a key.
#[tokio::test]
async fn every_path_of_the_description_is_there() {
    let host = TestHost::start(Folder::new()).await;
    let description = host.get("/openapi.json").await.json;
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(answers) = operation["responses"].as_object() else { continue };
            let called = path.replace("{id}", "019aa7c4-5e00-7c3a-9b51-000000000001");
            let answer = host.call(&method.to_uppercase(), &called).send().await;
            let described = answers.contains_key(&answer.status.to_string());
            assert!(described, "{method} {path}: {} is not described", answer.status);
            assert_ne!((answer.status, &*answer.json["type"].to_string()), (404, "unknown-path"));
            operations += 1;
        }
    }
    assert!(operations >= 10, "{operations}");
}

#[tokio::test]
async fn a_page_of_a_browser_may_call_only_where_the_tenant_says_so() {
    let mut folder = Folder::new();
    folder.tenants = folder.tenants.replace(
        "auth_key_env = \"A_KEY\"\n",
        "auth_key_env = \"A_KEY\"\ncors = [\"https://app.example\"]\n",
    );
    let host = TestHost::start(folder).await;
    let body = json!({"channel": "log", "message": "from a page"});
    for (key, origin, allowed) in [
        (KEY_A, "https://app.example", "https://app.example"),
        (KEY_A, "https://evil.example", ""),
        (KEY_B, "https://app.example", ""),
    ] {
        let call = host.call("POST", "/notifications").key(key).json(&body);
        let answer = call.header("origin", origin).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
    }
}
