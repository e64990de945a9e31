//! Configuration that changes while the host runs. Plugins' files: see `swap`.

use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Folder, KEY_A, KEY_B, Provider, TENANT_A, TestHost, eventually, replace};

const TENANT_C: &str = "019aa7c4-5e00-7c3a-9b51-00000000000c";
const KEY_C: &str = "key-of-tenant-c-0123456789abcdef0123456789";

/// Writes the folder's texts and waits until they are in force.
async fn apply(host: &TestHost) {
    let before = host.generation().await;
    host.write();
    eventually("the change is in force", async || (host.generation().await > before).then_some(()))
        .await;
}

async fn status_with(host: &TestHost, key: &str) -> u16 {
    host.call("GET", "/channels").key(key).send().await.status
}

#[tokio::test]
async fn a_tenant_is_added_while_the_host_runs() {
    let mut host = TestHost::start(Folder::new()).await;
    assert_eq!(status_with(&host, KEY_C).await, 403);
    host.env("C_KEY", KEY_C).tenant(TENANT_C, "C", "C_KEY");
    apply(&host).await;
    let body = json!({"channel": "log", "message": "from C"});
    let answer = host.call("POST", "/notifications").key(KEY_C).json(&body).send().await;
    assert_eq!((answer.status, &answer.json["tenantName"]), (200, &json!("C")));
    assert_eq!(status_with(&host, KEY_A).await, 200);
    assert_eq!(host.health().await["lastReload"]["outcome"], "applied");
    assert_eq!(host.metric("conductor_reloads_total{outcome=\"applied\"}").await, 1.0);
}

#[tokio::test]
async fn a_tenant_that_is_removed_is_refused_from_then_on() {
    let mut host = TestHost::start(Folder::new()).await;
    let end = host.tenants.rfind("[[tenant]]").unwrap();
    host.tenants.truncate(end);
    apply(&host).await;
    assert_eq!(status_with(&host, KEY_B).await, 403);
    assert_eq!(status_with(&host, KEY_A).await, 200);
}

#[tokio::test]
async fn a_channel_is_added_changed_and_removed_while_the_host_runs() {
    let (first, second) = (Provider::start().await, Provider::start().await);
    let mut host = TestHost::start(Folder::new()).await;
    host.send("webhook", "too early").await.assert_problem(404, "unknown-channel");

    host.webhook(&first.url("/a"));
    apply(&host).await;
    assert_eq!(host.send("webhook", "one").await.status, 200);

    let (plugins, channels) = (host.plugins.clone(), host.channels.clone());
    host.plugins = plugins.replace(&first.url(""), &second.url(""));
    host.channels = channels.replace(&first.url(""), &second.url(""));
    apply(&host).await;
    assert_eq!(host.send("webhook", "two").await.status, 200);
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
    assert_eq!(second.seen()[0].message(), "two");

    host.channels = String::from("# none\n");
    apply(&host).await;
    host.send("webhook", "too late").await.assert_problem(404, "unknown-channel");
}

#[tokio::test]
async fn a_changed_option_of_a_channel_is_in_force_for_the_next_message() {
    let mut folder = Folder::new();
    folder.plugin("quiet", "").plugins.clear();
    folder.plugins.push_str("[[plugin]]\nname = \"log\"\n");
    folder.channel("log", "[channel.options]\nlevel = \"info\"");
    let mut host = TestHost::start(folder).await;
    assert_eq!(host.send("log", "quiet words").await.status, 200);
    host.logged(&["quiet words", "\"level\":\"INFO\""]).await;
    host.channels = host.channels.replace("\"info\"", "\"warn\"");
    apply(&host).await;
    assert_eq!(host.send("log", "loud words").await.status, 200);
    host.logged(&["loud words", "\"level\":\"WARN\""]).await;
}

#[tokio::test]
async fn a_key_that_is_changed_in_dotenv_takes_the_place_of_the_old_one() {
    let mut host = TestHost::start(Folder::new()).await;
    host.env = host.env.replace(KEY_B, KEY_C);
    apply(&host).await;
    assert_eq!(status_with(&host, KEY_C).await, 200);
    assert_eq!(status_with(&host, KEY_B).await, 403);
    assert_eq!(status_with(&host, KEY_A).await, 200);
    assert!(!host.stderr().contains(KEY_C), "a key is not logged");
}

#[tokio::test]
async fn a_key_is_added_to_a_tenant_while_the_old_one_stays() {
    let mut host = TestHost::start(Folder::new()).await;
    host.tenants =
        host.tenants.replace("auth_key_env = \"B_KEY\"", "auth_key_envs = [\"B_KEY\", \"B_NEXT\"]");
    host.env("B_NEXT", KEY_C);
    apply(&host).await;
    for key in [KEY_B, KEY_C] {
        assert_eq!(status_with(&host, key).await, 200);
    }
}

#[tokio::test]
async fn a_hangup_signal_reads_everything_again() {
    let mut host = TestHost::start(Folder::new()).await;
    host.logged(&["listening"]).await;
    host.env("C_KEY", KEY_C).tenant(TENANT_C, "C", "C_KEY");
    host.write();
    host.signal(Signal::HUP);
    eventually("tenant C is known", async || {
        (status_with(&host, KEY_C).await == 200).then_some(())
    })
    .await;
    host.logged(&["reload: in force"]).await;
    assert!(host.is_running());
}

/// Writes something wrong, and waits for the report; everything must go on as before. Then mends it
/// with a change, which must be in force.
async fn breaks_nothing(file: &str, broken: &[u8], parts: &[&str]) {
    let mut host = TestHost::start(Folder::new()).await;
    let before = host.generation().await;
    let good = fs::read_to_string(host.file(file)).unwrap();
    let shown = String::from_utf8_lossy(&broken[..broken.len().min(40)]).into_owned();

    let first = host.log().len();
    replace(&host.file(file), broken);
    host.logged_after(first, &["reload: rejected, nothing was changed", "\"ERROR\""]).await;
    host.logged_after(first, &[&["reload: ", file], parts].concat()).await;
    for key in [KEY_A, KEY_B] {
        let body = json!({"channel": "log", "message": "undisturbed"});
        let answer = host.call("POST", "/notifications").key(key).json(&body).send().await;
        assert_eq!(answer.status, 200, "{file} {shown}: {answer:?}");
    }
    let health = host.health().await;
    assert_eq!(health["generation"], before, "{file} {shown}");
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["lastReload"]["outcome"], "rejected");
    let errors = health["lastReload"]["errors"].to_string();
    assert!(errors.contains(file) && parts.iter().all(|part| errors.contains(part)), "{errors}");
    assert!(host.metric("conductor_reloads_total{outcome=\"rejected\"}").await >= 1.0);
    let open = host.get("/health").await.json;
    assert!(open["lastReload"]["errors"].is_null(), "what is wrong is for the operator: {open}");

    replace(&host.file(file), good);
    host.env("C_KEY", KEY_C).tenant(TENANT_C, "C", "C_KEY");
    apply(&host).await;
    assert_eq!(status_with(&host, KEY_C).await, 200);
    let health = host.health().await;
    assert_eq!(health["status"], "ok", "{health}");
    assert_eq!(health["lastReload"]["outcome"], "applied");
}

#[tokio::test]
async fn a_half_written_file_changes_nothing_until_it_is_whole() {
    breaks_nothing("tenants.toml", b"[[tenant]]\nid = \"019aa7c4-5e00", &["tenants.toml:2"]).await;
    breaks_nothing("plugins.toml", b"[[plugin]]\nname = \"log\"\nscope = ", &["plugins.toml:3"])
        .await;
}

#[tokio::test]
async fn a_file_that_became_empty_changes_nothing() {
    breaks_nothing("tenants.toml", b"", &["empty"]).await;
    breaks_nothing("plugins.toml", b"", &["empty"]).await;
}

#[tokio::test]
async fn a_binary_file_changes_nothing() {
    breaks_nothing("channels.toml", b"\x7fELF\0\xff\xfe\x80[[channel]]", &["UTF-8"]).await;
    breaks_nothing("tenants.toml", &[0; 4096], &[]).await;
}

#[tokio::test]
async fn a_file_with_duplicates_or_unknown_names_changes_nothing() {
    let twice = "[[plugin]]\nname = \"log\"\n[[plugin]]\nname = \"log\"\n";
    breaks_nothing("plugins.toml", twice.as_bytes(), &["plugins.toml:4", "log"]).await;
    breaks_nothing("plugins.toml", b"[[plugin]]\nname = \"log\"\ncolour = 1\n", &["colour"]).await;
}

#[tokio::test]
async fn a_dotenv_that_lost_a_key_changes_nothing() {
    let rest = format!("A_KEY={KEY_A}\nCONDUCTOR_ADMIN_KEY={}\n", crate::kit::KEY_ADMIN);
    let mut host = TestHost::start(Folder::new()).await;
    host.env = rest;
    let first = host.log().len();
    host.write();
    host.logged_after(first, &["reload: tenants.toml:", "B_KEY"]).await;
    assert_eq!(status_with(&host, KEY_B).await, 200, "what was loaded goes on");
}

#[tokio::test]
async fn a_huge_file_is_refused_without_being_taken_in() {
    let host = TestHost::start(Folder::new()).await;
    let good = fs::read(host.file("channels.toml")).unwrap();
    let beside = host.file("huge");
    fs::File::create(&beside).unwrap().set_len(3 << 30).unwrap();
    let first = host.log().len();
    fs::rename(beside, host.file("channels.toml")).unwrap();
    host.logged_after(first, &["reload: ", "channels.toml is larger than 64 MiB"]).await;
    assert_eq!(host.send("log", "undisturbed").await.status, 200);
    replace(&host.file("channels.toml"), good);
    eventually("the host is well again", async || {
        (host.health().await["status"] == "ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_removed_changes_nothing() {
    let host = TestHost::start(Folder::new()).await;
    let first = host.log().len();
    fs::remove_file(host.file("tenants.toml")).unwrap();
    host.logged_after(first, &["reload: ", "tenants.toml"]).await;
    assert_eq!(status_with(&host, KEY_A).await, 200);
}

#[tokio::test]
async fn reloads_under_load_fail_no_request() {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    let mut host = TestHost::start(folder).await;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|n| {
            let channel = if n % 2 == 0 { "log" } else { "webhook" };
            let body = json!({"channel": channel, "message": "steady"}).to_string();
            let done = std::sync::Arc::clone(&done);
            let url = format!("{}/notifications", host.base());
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                let mut sent = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let call = client.post(&url).bearer_auth(KEY_A).body(body.clone());
                    let call = call.header("content-type", "application/json");
                    let answer = call.send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let channels = host.channels.clone();
    for round in 0..4 {
        host.channels = channels.replace("/hook", &format!("/hook{round}"));
        apply(&host).await;
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn files_behind_a_swapped_symbolic_link_are_noticed() {
    // As Kubernetes mounts a ConfigMap: tenants.toml -> ..data/tenants.toml, ..data -> ..first.
    let mut folder = Folder::new();
    let first = std::mem::take(&mut folder.tenants);
    let add = |name: &str, text: &str, folder: &Folder| {
        fs::create_dir(folder.file(name)).unwrap();
        fs::write(folder.file(name).join("tenants.toml"), text).unwrap();
    };
    add("..first", &first, &folder);
    symlink("..first", folder.file("..data")).unwrap();
    symlink(Path::new("..data/tenants.toml"), folder.file("tenants.toml")).unwrap();
    let host = TestHost::start(folder).await;
    assert_eq!(status_with(&host, KEY_B).await, 200);

    let before = host.generation().await;
    let second = first.split("\n[[tenant]]").take(2).collect::<Vec<_>>().join("\n[[tenant]]");
    assert!(second.contains(TENANT_A));
    add("..second", &second, &host);
    symlink("..second", host.file("..data_next")).unwrap();
    fs::rename(host.file("..data_next"), host.file("..data")).unwrap();
    eventually("the swap is in force", async || (host.generation().await > before).then_some(()))
        .await;
    assert_eq!(status_with(&host, KEY_A).await, 200);
    assert_eq!(status_with(&host, KEY_B).await, 403);
}

#[tokio::test]
async fn a_file_that_is_written_in_place_is_noticed() {
    let mut host = TestHost::start(Folder::new()).await;
    host.env("C_KEY", KEY_C).tenant(TENANT_C, "C", "C_KEY");
    let before = host.generation().await;
    for (name, text) in [(".env", &host.env), ("tenants.toml", &host.tenants)] {
        fs::write(host.file(name), text).unwrap();
    }
    eventually("the change is in force", async || (host.generation().await > before).then_some(()))
        .await;
    assert_eq!(status_with(&host, KEY_C).await, 200);
}

#[tokio::test]
async fn files_that_are_touched_and_say_the_same_change_nothing() {
    let host = TestHost::start(Folder::new()).await;
    let before = host.generation().await;
    for name in ["tenants.toml", "plugins.toml", ".env"] {
        let same = fs::read(host.file(name)).unwrap();
        replace(&host.file(name), same);
    }
    // A real change behind it shows that the events of the first were worked off.
    replace(&host.file("channels.toml"), "this is no TOML");
    host.logged(&["reload: rejected"]).await;
    assert_eq!(host.generation().await, before);
    assert!(!host.stderr().contains("reload: in force"));
}
