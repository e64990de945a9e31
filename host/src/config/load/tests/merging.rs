//! Options, secrets and implicit channels of a good configuration.

use std::sync::Arc;

use serde_json::json;

use super::support::{Setup, channel, tenant};
use crate::config::{ONLY_SECRET, OnUnknown, PluginSource, Scope, ThrottleScope};

#[test]
fn options_are_merged_from_the_plugin_over_the_tenant_to_the_channel() {
    let mut setup = Setup::new();
    setup.plugins = String::from(
        "[[plugin]]\nname = \"discord\"\n[plugin.options]\na = 1\nb = 1\nc = 1\n\
         deep = { x = \"${TOKEN}\", y = 1 }\nwhen = 2026-01-02\nlist = [1, 2.5, true, \"$${x}\"]\n",
    );
    setup.tenants = tenant(1, "A", "[tenant.options.discord]\nb = 2\nc = 2\ndeep.y = 2\n");
    setup.channels =
        channel("discord", "[channel.options]\nc = 3\n[channel.options.deep]\nz = 3\n");
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let expected = json!({
        "a": 1, "b": 2, "c": 3, "deep": {"x": "hunter2", "y": 2, "z": 3},
        "when": "2026-01-02", "list": [1, 2.5, true, "${x}"],
    });
    assert_eq!(serde_json::Value::Object((*tenant.channels["discord"].options).clone()), expected);
}

#[test]
fn every_tenant_has_a_channel_of_a_core_plugin() {
    let mut setup = Setup::new();
    setup.tenants = tenant(1, "A", "") + &tenant(2, "B", "[tenant.options.log]\na = 1\n");
    setup.tenants += &tenant(3, "C", "");
    setup.variables.push((String::from("C_KEY"), "c".repeat(32)));
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let logs: Vec<_> =
        loaded.config.tenants.values().map(|tenant| &tenant.channels["log"]).collect();
    assert!(Arc::ptr_eq(logs[0], logs[2]), "those without options of their own share one");
    assert_eq!(logs[1].options["a"], 1);
    assert_eq!(loaded.config.plugins["log"].scope, Scope::Core);
}

#[test]
fn a_named_channel_takes_the_place_of_the_implicit_one() {
    let channels = channel("log", "[channel.options]\na = 1\n");
    let loaded = Setup { channels, ..Setup::new() }.load();
    let tenant = loaded.config.tenants.values().next().unwrap();
    assert_eq!(tenant.channels.len(), 1);
    assert_eq!(tenant.channels["log"].options["a"], 1);
    assert_eq!(tenant.channels["log"].origin.to_string(), "channels.toml:1");
}

#[test]
fn secrets_come_from_variables_and_files() {
    let mut setup = Setup::new();
    let folder = setup.folder.path();
    std::fs::write(folder.join("unix"), "from a file\n").unwrap();
    std::fs::write(folder.join("windows"), "two\nlines\r\n").unwrap();
    setup.channels = channel(
        "discord",
        "[channel.secrets]\nA = \"TOKEN\"\nB = { env = \"TOKEN\" }\nC = { file = \"unix\" }\n\
         D.file = \"windows\"\n",
    ) + &channel("discord", "name = \"short\"\nprovider_secret_env = \"TOKEN\"\n");
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let secrets = &tenant.channels["discord"].secrets;
    let values: Vec<&str> = secrets.values().map(|secret| secret.value.expose()).collect();
    assert_eq!(values, ["hunter2", "hunter2", "from a file", "two\nlines"]);
    assert_eq!(&*secrets["A"].source, "env TOKEN");
    assert!(secrets["C"].source.starts_with("file /"));
    assert_eq!(loaded.files.len(), 2);
    assert_eq!(tenant.channels["short"].secrets[ONLY_SECRET].value.expose(), "hunter2");
}

#[test]
fn a_secret_file_must_hold_one_small_text() {
    for (content, part) in [
        (vec![b'x'; 65 * 1024], "more than 64 KiB"),
        (vec![0xff], "not UTF-8"),
        (b"\n".to_vec(), "is empty"),
    ] {
        let mut setup = Setup::new();
        std::fs::write(setup.folder.path().join("s"), content).unwrap();
        setup.channels = channel("discord", "[channel.secrets]\nA = { file = \"s\" }\n");
        let problem = setup.problem();
        assert!(problem.starts_with("channels.toml:5: ") && problem.contains(part), "{problem}");
    }
}

#[test]
fn a_secret_may_be_one_text_of_a_json_document() {
    let mut setup = Setup::new();
    let document = "{\"private_key\": \"-----BEGIN\\nhunter2\", \"a/b\": {\"c\": [\"third\"]}}";
    std::fs::write(setup.folder.path().join("account.json"), document).unwrap();
    setup.channels = channel(
        "discord",
        "[channel.secrets]\nA = { file = \"account.json\", pointer = \"/private_key\" }\n\
         B = { file = \"account.json\", pointer = \"/a~1b/c/0\" }\n",
    );
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let secrets = &loaded.config.tenants.values().next().unwrap().channels["discord"].secrets;
    let values: Vec<&str> = secrets.values().map(|secret| secret.value.expose()).collect();
    assert_eq!(values, ["-----BEGIN\nhunter2", "third"]);
    assert!(secrets["A"].source.ends_with("account.json, /private_key"), "{}", secrets["A"].source);
}

#[test]
fn a_pointer_that_leads_nowhere_says_so_without_showing_the_document() {
    for (content, pointer, part) in [
        ("{\"key\": \"hunter2\"}", "key", "begins with a slash"),
        ("{\"key\": \"hunter2\"}", "/hunter3", "no text at `pointer`"),
        ("{\"key\": {\"hunter2\": 1}}", "/key", "no text at `pointer`"),
        ("{\"key\": \"\"}", "/key", "an empty text"),
        ("hunter2", "/key", "not a JSON document"),
    ] {
        let mut setup = Setup::new();
        std::fs::write(setup.folder.path().join("s"), content).unwrap();
        let secret = format!("A = {{ file = \"s\", pointer = \"{pointer}\" }}\n");
        setup.channels = channel("discord", &format!("[channel.secrets]\n{secret}"));
        let problem = setup.problem();
        assert!(problem.starts_with("channels.toml:5: ") && problem.contains(part), "{problem}");
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn an_optional_channel_without_its_secret_is_left_out_with_a_notice() {
    for more in [
        "provider_secret_env = \"NOPE\"\n",
        "[channel.options]\na = \"${NOPE}\"\n",
        "[channel.secrets]\nA = { file = \"NOPE\" }\n",
    ] {
        let channels = channel("discord", &format!("optional = true\n{more}"))
            + &channel("discord", "name = \"x\"\nfallback = [\"discord\", \"log\"]\n");
        let loaded = Setup { channels, ..Setup::new() }.load();
        assert_eq!(loaded.problems, []);
        assert_eq!(loaded.config.notices.len(), 1);
        let notice = loaded.config.notices[0].to_string();
        assert!(notice.contains("left out") && notice.contains("NOPE"), "{notice}");
        let tenant = loaded.config.tenants.values().next().unwrap();
        assert!(!tenant.channels.contains_key("discord"));
        assert_eq!(tenant.channels["x"].fallback.len(), 1, "only what is there");
    }
}

#[test]
fn an_optional_channel_with_a_mistake_is_still_a_mistake() {
    let channels = channel("discord", "optional = true\nprovider_secret_env = \"NOPE\"\nx = 1\n");
    let problem = Setup { channels, ..Setup::new() }.problem();
    assert!(problem.contains("no key \"x\""), "{problem}");
}

#[test]
fn everything_that_can_be_said_about_a_plugin_and_its_channel_is_read() {
    let mut setup = Setup::new();
    std::fs::write(setup.folder.path().join("x.wasm"), "x").unwrap();
    let digest = crate::ids::Digest::of(b"x");
    setup.plugins = format!(
        "[[plugin]]\nname = \"x\"\nsource = \"x.wasm\"\ndigest = \"{digest}\"\nlazy = true\n\
         scope = \"business\"\nrequires = [\"log\", \"log >=1.2, <3\"]\n\
         [plugin.grants]\nhosts = [\"https://a.example\", \"${{NOPE:-}}\"]\nreveal = [\"R\"]\n\
         addresses = [\"10.1.0.0/16\", \"${{NOPE:-}}\"]\nsecrets.S = [\"https://b.example\"]\n\
         [plugin.limits]\nmemory_mib = 128\nwall_ms = 500\ncpu_ms = 20\ninstances_max = 3\n\
         in_flight_max = 5\negress_max = 4\n[[plugin]]\nname = \"log\"\n"
    );
    setup.tenants = tenant(1, "A", "plugins = [\"x\"]\n");
    setup.channels = channel(
        "x",
        "[channel.retry]\nattempts = 3\nfirst_ms = 10\nfactor = 1\ncap_ms = 20\nspan_ms = 1_000\n\
         on_unknown = \"retry\"\n[channel.throttle]\nrate_per_s = 0.5\nburst = 3\n\
         per = \"destination\"\n",
    );
    let loaded = setup.load();
    assert_eq!(loaded.problems, []);
    let plugin = &loaded.config.plugins["x"];
    let path = setup.folder.path().join("x.wasm");
    assert_eq!(plugin.source, PluginSource::File(path.clone()));
    assert!(loaded.files.contains(&path));
    assert_eq!(plugin.digest, Some(digest));
    assert!(plugin.lazy && plugin.scope == Scope::Business);
    assert_eq!(plugin.requires[0].version, semver::VersionReq::STAR);
    assert_eq!(plugin.requires[1].version.to_string(), ">=1.2, <3");
    assert_eq!((plugin.grants.hosts.len(), plugin.grants.addresses.len()), (1, 1));
    assert_eq!(plugin.grants.secrets["S"][0].to_string(), "https://b.example");
    assert!(plugin.grants.reveal.contains("R"));
    assert_eq!(plugin.limits.memory_bytes, 128 << 20);
    assert_eq!((plugin.limits.instances_max, plugin.limits.egress_max), (3, Some(4)));
    assert_eq!(plugin.limits.in_flight_max, 5);
    let tenant = loaded.config.tenants.values().next().unwrap();
    let retry = tenant.channels["x"].retry;
    assert_eq!((retry.attempts, retry.on_unknown), (3, OnUnknown::Retry));
    assert_eq!(retry.cap.as_millis(), 20);
    let throttle = tenant.channels["x"].throttle.unwrap();
    assert_eq!((throttle.rate_per_s, throttle.burst), (0.5, 3));
    assert_eq!(throttle.per, ThrottleScope::Destination);
}
