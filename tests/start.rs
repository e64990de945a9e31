//! From nothing to a running host, and everything that can be wrong at the start.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use serde_json::json;

use crate::kit::{Folder, KEY_A, TestHost, conductor, eventually, repository};

const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The key in the text that a first run prints, and the whole text.
async fn first_run(host: &TestHost) -> (String, String) {
    eventually("the text of a first run", async || {
        let stdout = host.stdout();
        let key = stdout.lines().find_map(|line| line.strip_prefix("Key "))?.trim().to_owned();
        // The last of the curl line.
        stdout.contains("\"message\":\"Hello\"").then_some((key, stdout))
    })
    .await
}

#[tokio::test]
async fn an_empty_folder_becomes_a_running_host_and_its_curl_line_works() {
    let host = TestHost::start(Folder::empty()).await;
    for name in ["plugins.toml", "tenants.toml", "channels.toml"] {
        assert!(host.file(name).exists(), "{name}");
    }
    let mode = fs::metadata(host.file(".env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the owner reads the keys");

    let (key, stdout) = first_run(&host).await;
    assert_eq!(key.len(), 64);
    assert!(fs::read_to_string(host.file(".env")).unwrap().contains(&key), "the key is saved");
    assert!(stdout.contains(&format!("Authorization: Bearer {key}")), "{stdout}");
    assert!(!host.stderr().contains(&key), "a key is not logged");

    let body = json!({"channel": "log", "message": "Hello"});
    assert!(stdout.contains(&body.to_string()), "{stdout}");
    let answer = host.call("POST", "/notifications").key(&key).json(&body).send().await;
    assert_eq!((answer.status, answer.json["status"].as_str()), (200, Some("delivered")));
    host.logged(&["Hello", &answer.id()]).await;
}

#[tokio::test]
async fn the_curl_line_of_the_first_run_names_the_address_that_is_listened_on() {
    let host = TestHost::start(Folder::empty()).await;
    let (_key, stdout) = first_run(&host).await;
    let url = format!("{}/notifications", host.base());
    assert!(stdout.contains(&url), "{url} is not in:\n{stdout}");
}

#[tokio::test]
async fn a_second_run_prints_no_key_and_says_where_it_is() {
    let host = TestHost::start(Folder::empty()).await;
    let (key, _) = first_run(&host).await;
    let files = ["tenants.toml", "plugins.toml", "channels.toml", ".env"];
    let before = files.map(|name| fs::read_to_string(host.file(name)).unwrap());

    let host = host.restart().await;
    assert_eq!(host.stdout(), "");
    assert!(!host.stderr().contains(&key));
    host.logged(&["keys are read from", ".env"]).await;
    assert_eq!(files.map(|name| fs::read_to_string(host.file(name)).unwrap()), before);
    assert_eq!(host.call("GET", "/channels").key(&key).send().await.status, 200);
}

#[tokio::test]
async fn the_files_at_the_root_of_the_repository_start() {
    let mut folder = Folder::empty();
    let read = |name| fs::read_to_string(repository(name)).unwrap();
    folder.plugins = read("plugins.toml");
    folder.tenants = read("tenants.toml");
    folder.channels = read("channels.toml");
    let host = TestHost::start(folder).await;
    let (key, _) = first_run(&host).await;
    let body = json!({"channel": "log", "message": "Hello"});
    let answer = host.call("POST", "/notifications").key(&key).json(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(host.health().await["status"], "ok");
}

#[tokio::test]
async fn a_taken_port_is_told_with_its_remedies() {
    let first = TestHost::start(Folder::new()).await;
    let (_folder, ended) = TestHost::refused(Folder::new(), &["--listen", first.address()]).await;
    assert_eq!(ended.code, Some(78));
    let port = first.address().rsplit(':').next().unwrap();
    for part in [&format!("port {port} is taken"), "--listen", "--auto-port"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn with_auto_port_the_next_free_port_is_taken_and_told() {
    let first = TestHost::start(Folder::new()).await;
    let args = ["--listen", first.address(), "--auto-port"];
    let second = TestHost::start_with(Folder::new(), &args).await;
    assert_ne!(first.address(), second.address());
    let port = first.address().rsplit(':').next().unwrap();
    second.logged(&[&format!("port {port} is taken"), second.address()]).await;
    assert_eq!(second.get("/ready").await.status, 200);
}

/// Tenant B has no key, tenant A's channels name a plugin that is not there and have wrong options.
fn wrong_in_many_ways() -> Folder {
    let mut folder = Folder::new();
    folder.env = format!("A_KEY={KEY_A}\nCONDUCTOR_ADMIN_KEY={}\n", crate::kit::KEY_ADMIN);
    folder.plugin("webhook", "").plugin("absent", "source = \"absent.wasm\"");
    folder.channel("webhook", "[channel.options]\nurl = \"ftp://receiver\"\nunsigned = 1");
    folder.channel("telegraph", "");
    folder.channel("absent", "");
    folder
}

/// What must be said of it: place, then what was found and expected.
const WRONG: [&[&str]; 5] = [
    &["tenants.toml:10", "B_KEY", "is not set"],
    &["channels.toml:3", "url", "ftp://receiver"],
    &["channels.toml:3", "unsigned"],
    &["channels.toml:12", "telegraph", "known: absent, log, webhook"],
    &["plugins.toml:11", "absent.wasm"],
];

fn assert_all_told(text: &str) {
    for parts in WRONG {
        let told = text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(told, "{parts:?} is not told in:\n{text}");
    }
}

#[tokio::test]
async fn a_missing_variable_an_unknown_plugin_and_wrong_options_are_told_at_once() {
    let (_folder, ended) = TestHost::refused(wrong_in_many_ways(), &[]).await;
    assert_eq!(ended.code, Some(78));
    assert_all_told(&ended.stderr);
    assert!(ended.stderr.contains("--degraded"), "{}", ended.stderr);
}

#[tokio::test]
async fn degraded_runs_what_is_valid_and_reports_the_rest() {
    let host = TestHost::start_with(wrong_in_many_ways(), &["--degraded"]).await;
    assert_all_told(&host.stderr());
    assert_eq!(host.send("log", "still here").await.status, 200);
    let health = host.health().await;
    assert_eq!(health["status"], "degraded");
    let problems = health["problems"].as_array().unwrap();
    assert_eq!(health["problemCount"], problems.len());
    assert_all_told(
        &problems.iter().map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join("\n"),
    );
    assert!(host.metric("conductor_config_problems").await >= 4.0);
    assert_eq!(host.get("/ready").await.status, 200);

    let open = host.get("/health").await;
    assert_eq!(open.json["status"], "degraded");
    assert!(open.json["problems"].is_null(), "details are the operator's: {open:?}");
}

#[tokio::test]
async fn degraded_takes_changes_and_refuses_new_mistakes() {
    let mut host = TestHost::start_with(wrong_in_many_ways(), &["--degraded"]).await;
    // A change beside the old mistakes comes into force, and the old mistakes are told as before.
    let before = host.generation().await;
    let problems = host.health().await["problemCount"].clone();
    host.channel("log", "name = \"second\"");
    host.write();
    eventually("the channel is there", async || {
        (host.send("second", "x").await.status == 200).then_some(())
    })
    .await;
    let health = host.health().await;
    assert_eq!(
        (&health["generation"], &health["status"]),
        (&json!(before + 1), &json!("degraded"))
    );
    assert_eq!(health["problemCount"], problems, "{health}");

    // A new mistake is refused: it would take away what runs.
    let good = host.channels.clone();
    host.channel("nonesuch", "name = \"third\"");
    host.write();
    host.logged(&["reload: ", "nonesuch"]).await;
    host.logged(&["reload: rejected"]).await;
    assert_eq!(host.generation().await, before + 1);

    // One of the old ones is mended, and only the others are left.
    host.channels = good;
    host.env("B_KEY", crate::kit::KEY_B);
    host.write();
    eventually("tenant B is there", async || {
        let body = json!({"channel": "log", "message": "x"});
        let call = host.call("POST", "/notifications").key(crate::kit::KEY_B).json(&body);
        (call.send().await.status == 200).then_some(())
    })
    .await;
    let health = host.health().await;
    assert!(health["problemCount"].as_u64() < problems.as_u64(), "{health}");
    assert!(!health["problems"].to_string().contains("B_KEY"), "{health}");
}

#[tokio::test]
async fn a_tenant_without_its_key_does_not_hide_what_is_wrong_with_its_channels() {
    let mut folder = Folder::new();
    folder.env = format!("B_KEY={}\n", crate::kit::KEY_B);
    folder.plugin("webhook", "");
    folder.channel("webhook", "[channel.options]\nurl = \"ftp://receiver\"\nunsigned = true");
    let (_folder, ended) = TestHost::refused(folder, &[]).await;
    for parts in [&["tenants.toml:", "A_KEY"], &["channels.toml:3", "ftp://receiver"]] {
        let told = ended.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(told, "{parts:?} is not told in:\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn check_takes_the_data_folder_from_the_same_file_as_the_start() {
    let mut folder = Folder::new();
    folder.env("CONDUCTOR_DATA_DIR", "elsewhere");
    folder.write();
    let elsewhere = folder.file("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
    let output = conductor(&folder).arg("check").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(elsewhere.join("compiled").exists(), "compiled plugins are kept where the start looks");
    assert!(!folder.data().exists());
}

#[tokio::test]
async fn a_second_process_on_the_same_data_is_refused_and_the_first_is_unharmed() {
    let first = TestHost::start(Folder::new()).await;
    let data = first.data();
    let args = ["--data-dir", data.to_str().unwrap()];
    let (_folder, ended) = TestHost::refused(Folder::new(), &args).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.code.is_some(), "{ended:?}");
    assert!(ended.stderr.contains("another"), "{}", ended.stderr);
    assert_eq!(first.send("log", "unharmed").await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_no_plugin_stops_the_start_with_its_reason() {
    let mut folder = Folder::new();
    fs::write(folder.file("x.wasm"), EMPTY_COMPONENT).unwrap();
    folder.plugin("x", "source = \"x.wasm\"").channel("x", "");
    let (_folder, ended) = TestHost::refused(folder, &[]).await;
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("exports no conductor:channel/channel"), "{}", ended.stderr);
}

/// Runs a command to its end; gives exit code, standard output and standard error.
fn run(folder: &Folder, args: &[&str]) -> (Option<i32>, String, String) {
    folder.write();
    let output = conductor(folder).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn check_prints_every_error_with_its_place() {
    let (code, _, stderr) = run(&wrong_in_many_ways(), &["check"]);
    assert_eq!(code, Some(78));
    assert_all_told(&stderr);
}

#[tokio::test]
async fn check_of_valid_files_prints_what_each_channel_may_do() {
    let mut folder = Folder::new();
    folder.env("TOKEN", "not-to-be-shown").plugin(
        "discord",
        "[plugin.grants]\nhosts = [\"https://discord.com\"]\naddresses = [\"10.0.0.0/8\"]",
    );
    folder.channel(
        "discord",
        "name = \"chat\"\n[channel.options]\nchannel_id = \"1\"\n[channel.secrets]\nBOT_TOKEN = \
         \"TOKEN\"",
    );
    let (code, stdout, stderr) = run(&folder, &["check"]);
    assert_eq!(code, Some(0), "{stderr}");
    for part in [
        "tenant A",
        "channel chat (plugin discord)",
        "granted https://discord.com",
        "granted addresses 10.0.0.0/8",
        "secret BOT_TOKEN",
        "TOKEN",
        "reaches no host",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    assert!(!(stdout + &stderr).contains("not-to-be-shown"));
    assert!(!folder.data().exists(), "a check leaves nothing behind");
}

#[tokio::test]
async fn init_writes_the_files_and_a_second_init_changes_none() {
    let folder = Folder::empty();
    let (code, stdout, _) = run(&folder, &["init", "--tenant-name", "Example & Co"]);
    assert_eq!(code, Some(0));
    let key = stdout.lines().find_map(|line| line.strip_prefix("Key ")).unwrap().trim().to_owned();
    assert_eq!(key.len(), 64);
    assert!(fs::read_to_string(folder.file("tenants.toml")).unwrap().contains("Example & Co"));
    let before = fs::read_to_string(folder.file(".env")).unwrap();

    let (_, stdout, stderr) = run(&folder, &["init"]);
    assert!(!(stdout + &stderr).contains(&key));
    assert_eq!(fs::read_to_string(folder.file(".env")).unwrap(), before);
    assert_eq!(run(&folder, &["check"]).0, Some(0));
}

#[tokio::test]
async fn send_delivers_through_the_running_host_with_the_key_from_the_folder() {
    let mut folder = Folder::empty();
    folder.plugins.push_str("[[plugin]]\nname = \"log\"\nscope = \"core\"\n");
    folder.channels.push_str("# None.\n");
    folder.tenant(crate::kit::TENANT_A, "A", "A_KEY").env("A_KEY", KEY_A);
    let host = TestHost::start(folder).await;
    let send = |channel| {
        let mut command = conductor(&host);
        command.args(["send", "--url", host.base(), "--channel", channel, "--message", "by hand"]);
        command.stdout(Stdio::piped()).output().unwrap()
    };
    let sent = send("log");
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    assert!(String::from_utf8_lossy(&sent.stdout).contains("delivered"), "{sent:?}");
    host.logged(&["by hand"]).await;
    let refused = send("lgo");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stdout).contains("unknown-channel"), "{refused:?}");
}

#[test]
fn a_wrong_command_line_ends_with_the_code_for_usage() {
    let folder = Folder::empty();
    for args in [&["dance"][..], &["--no-such-option"], &["send", "--channel", "log"]] {
        let (code, _, stderr) = run(&folder, args);
        assert_eq!(code, Some(64), "{args:?}");
        assert!(!stderr.is_empty());
    }
    for args in [["--help"], ["--version"]] {
        let (code, stdout, _) = run(&folder, &args);
        assert_eq!(code, Some(0), "{args:?}");
        assert!(stdout.contains("conductor"), "{stdout}");
    }
    assert!(!folder.file("tenants.toml").exists(), "none of these starts anything");
}

#[tokio::test]
async fn a_signal_during_the_start_is_neither_lost_nor_deadly() {
    use rustix::process::Signal;
    let mut folder = Folder::new();
    // Two that are compiled, because nobody has seen these files before.
    for name in ["one", "two"] {
        let custom_section = [b"\0\x05\x04", name.as_bytes(), b"!"].concat();
        let bytes = [crate::kit::shipped("log"), custom_section].concat();
        fs::write(folder.file(&format!("{name}.wasm")), bytes).unwrap();
        folder.plugin(name, &format!("source = \"{name}.wasm\"")).channel(name, "");
    }
    let host = TestHost::spawn(folder, &[]);
    host.logged(&["compiled"]).await;
    host.signal(Signal::HUP);
    host.signal(Signal::TERM);
    let (_folder, ended) = host.ended().await;
    assert_eq!((ended.code, ended.signal), (Some(0), None), "{ended:?}");
}

#[tokio::test]
async fn a_queue_of_a_later_version_is_not_touched() {
    let host = TestHost::start(Folder::new()).await;
    assert_eq!(host.send("log", "kept").await.status, 200);
    let (folder, _) = host.stop().await;
    let open = || rusqlite::Connection::open(folder.data().join("queue.db")).unwrap();
    let update = "UPDATE meta SET v = 9999 WHERE k = 'schema_version'";
    assert_eq!(open().execute(update, ()).unwrap(), 1);
    let read = || -> (i64, i64, i64) {
        let all = "SELECT (SELECT v FROM meta WHERE k = 'schema_version'), (SELECT v FROM meta \
                   WHERE k = 'incarnation'), (SELECT count(*) FROM notif)";
        open().query_row(all, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let before = read();
    assert_eq!((before.0, before.2), (9_999, 1));
    let output = conductor(&folder).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_ne!(output.status.code(), Some(0));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("9999") && stderr.contains("newer"), "{stderr}");
    assert_eq!(read(), before);
}

#[tokio::test]
async fn a_queue_that_is_no_database_is_told_and_not_overwritten() {
    let folder = Folder::new();
    fs::create_dir_all(folder.data()).unwrap();
    let path = folder.data().join("queue.db");
    let precious = b"these are not the bytes of a database".repeat(500);
    fs::write(&path, &precious).unwrap();
    let host = TestHost::spawn(folder, &[]);
    let (folder, ended) = host.ended().await;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert!(ended.stderr.contains("queue.db"), "{}", ended.stderr);
    assert_eq!(fs::read(folder.data().join("queue.db")).unwrap(), precious);
}
