//! Guests that misbehave before their first message: in their start function, when they are asked
//! what they are, when they are tried. None of them comes into force, each is named with its fault,
//! and what is in force serves on.

use std::{fmt::Write as _, fs, time::Duration};

use super::{
    arena::is_whole,
    modules::{GROW_MEMORY, GROW_TABLE, NOTHING, Parts, RECURSE, SPIN, TRAP, module, plugin_with},
    neighbour::{self, Neighbour},
};
use crate::kit::{Folder, TestHost, fixture, wait::within};

/// Compiling a dozen components and waiting for the slowest of them, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// A plugin that must not come into force.
struct Newcomer {
    name: String,
    file: Vec<u8>,
    options: String,
    /// What is said about it.
    why: &'static str,
    /// The kind of the fault that is counted; none where no code of it ran.
    fault: Option<&'static str>,
}

/// Brings them all into the configuration of a host that serves a neighbour.
async fn are_refused(newcomers: Vec<Newcomer>) {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    let mut host = TestHost::start(folder).await;
    let generation = host.generation().await;
    let neighbour = Neighbour::start(&host, provider);
    for newcomer in &newcomers {
        let Newcomer { name, file, options, .. } = newcomer;
        fs::write(host.file(&format!("{name}.wasm")), file).unwrap();
        host.plugin(
            name,
            &format!("source = \"{name}.wasm\"\n[plugin.limits]\ncpu_ms = 50\nmemory_mib = 16"),
        );
        host.channel(name, &format!("[channel.options]\n{options}"));
    }
    host.write();
    within(PATIENCE, "the reload is rejected", async || {
        host.log().iter().any(|line| line.contains("reload: rejected")).then_some(())
    })
    .await;
    let health = host.health().await;
    assert_eq!(health["generation"], generation, "what was in force still is");
    let errors = health["lastReload"]["errors"].as_array().unwrap();
    let mut complaints = String::new();
    for Newcomer { name, why, fault, .. } in &newcomers {
        let about = format!("plugin \"{name}\"");
        let said: Vec<_> = errors.iter().filter(|e| e.as_str().unwrap().contains(&about)).collect();
        if !said.iter().any(|error| error.as_str().unwrap().contains(why)) {
            let _infallible = writeln!(complaints, "{name}: wanted \"{why}\", found {said:?}");
        }
        if let Some(kind) = fault {
            let metric =
                format!("conductor_guest_faults_total{{plugin=\"{name}\",kind=\"{kind}\"}}");
            if host.metric(&metric).await < 1.0 {
                let _infallible = writeln!(complaints, "{name}: {metric} counts nothing");
            }
        }
    }
    assert!(complaints.is_empty(), "not refused as they should be:\n{complaints}\n{errors:?}");
    neighbour.was_well().await;
    is_whole(&host).await;
}

/// An idea of `hostile-manifest`: its name is written into the file.
fn describes(idea: &str, why: &'static str, fault: Option<&'static str>) -> Newcomer {
    const PLACE: &[u8] = b"idea:...................................";
    let mut file = fixture("hostile-manifest");
    let at = file.windows(PLACE.len()).position(|window| window == PLACE).expect("the place");
    file[at + 5..at + 5 + idea.len()].copy_from_slice(idea.as_bytes());
    let name = idea.replace('_', "-");
    Newcomer { name, file, options: String::new(), why, fault }
}

/// A good plugin with one more core module.
fn starts(name: &str, parts: &Parts, body: &[u8], why: &'static str) -> Newcomer {
    let file = plugin_with(&fixture("versioned-a"), &module(parts, body), 1);
    Newcomer { name: name.to_owned(), file, options: String::new(), why, fault: None }
}

#[tokio::test]
async fn whoever_misbehaves_in_its_start_function_is_never_started() {
    let with = |memories: &[usize], tables: &[usize]| Parts {
        memories: memories.into(),
        tables: tables.into(),
        data_at: None,
    };
    let nothing = Parts::default();
    let fault = |kind, newcomer| Newcomer { fault: Some(kind), ..newcomer };
    let far = Parts { data_at: Some(1 << 30), ..with(&[1], &[]) };
    let twice = |times, name: &str| Newcomer {
        file: plugin_with(&fixture("versioned-a"), &module(&nothing, NOTHING), times),
        ..starts(name, &nothing, NOTHING, "instances")
    };
    are_refused(vec![
        fault("cpu", starts("start-spin", &nothing, SPIN, "cpu_limit")),
        fault("trap", starts("start-trap", &nothing, TRAP, "trap")),
        fault("stack", starts("start-recursion", &nothing, RECURSE, "stack_limit")),
        fault("memory", starts("start-memory", &with(&[1], &[]), GROW_MEMORY, "memory_limit")),
        fault("memory", starts("start-table", &with(&[], &[1]), GROW_TABLE, "memory_limit")),
        fault("trap", starts("start-data", &far, NOTHING, "trap")),
        starts("one-large-memory", &with(&[16_384], &[]), NOTHING, "memory"),
        starts("many-memories", &with(&[1; 40], &[]), NOTHING, "memor"),
        starts("one-large-table", &with(&[], &[9_000_000]), NOTHING, "table"),
        starts("many-tables", &with(&[], &[1; 40]), NOTHING, "tables"),
        twice(100, "many-instances"),
    ])
    .await;
}

#[tokio::test]
async fn whoever_does_not_say_what_it_is_comes_not_into_force() {
    are_refused(vec![
        describes("spin", "cpu_limit", Some("cpu")),
        describes("sleep", "timeout", Some("timeout")),
        describes("trap", "trap", Some("trap")),
        describes("exit", "trap", Some("trap")),
        describes("memory", "memory_limit", Some("memory")),
        describes("enormous_summary", "host_call_limit", Some("host-call")),
        describes("many_secrets", "10000 secrets, and 64 are the most", None),
        describes("many_hosts", "10000 hosts, and 256 are the most", None),
        describes("long_name", "a text of 100000 bytes", None),
        describes("long_summary", "a text of 3500000 bytes", None),
        describes("forged_summary", "control characters", None),
    ])
    .await;
}

#[tokio::test]
async fn a_schema_that_cannot_be_followed_comes_not_into_force() {
    are_refused(vec![
        describes("schema_no_schema", "no JSON Schema", None),
        describes("schema_itself", "refers to itself", None),
        describes("schema_circle", "refers to itself", None),
        describes("schema_explosion", "unfolds to more than", None),
        describes("schema_regex_backwards", "unusable", None),
        describes("schema_regex_large", "unusable", None),
        describes("schema_remote", "no place in itself", None),
        describes("schema_file", "no place in itself", None),
        describes("schema_large", "bytes, and 262144 are the most", None),
        describes("schema_deep", "recursion limit", None),
    ])
    .await;
}

#[tokio::test]
async fn a_plugin_that_is_being_described_reaches_nothing_and_leaves_nothing() {
    let mut folder = Folder::new();
    for idea in ["reach", "schema_regex"] {
        let Newcomer { name, file, .. } = describes(idea, "", None);
        fs::write(folder.file(&format!("{name}.wasm")), file).unwrap();
        folder.plugin(&name, &format!("source = \"{name}.wasm\""));
    }
    folder.channel("reach", "");
    // A pattern on which others would think for longer than the world lasts.
    folder.channel("schema-regex", &format!("[channel.options]\ntext = \"{}\"", "a".repeat(5_000)));
    let host = TestHost::start(folder).await;
    for channel in ["reach", "schema-regex"] {
        let answer = host.send(channel, "x").await;
        assert_eq!((answer.status, &answer.json["providerId"]), (200, &"nothing".into()));
    }
}

#[tokio::test]
async fn whoever_misbehaves_in_its_trial_comes_not_into_force() {
    let tried = |idea: &str, when: &str, why, fault| Newcomer {
        name: format!("{}-in-{when}", idea.replace('_', "-")),
        file: fixture("hostile"),
        options: format!("idea = \"{idea}\"\nwhen = \"{when}\""),
        why,
        fault: Some(fault),
    };
    are_refused(vec![
        tried("trap", "initialize", "`initialize` failed: trap", "trap"),
        tried("trap", "health", "`health` failed: trap", "trap"),
        tried("trap", "shutdown", "`shutdown` failed: trap", "trap"),
        tried("exit", "initialize", "`initialize` failed: trap", "trap"),
        tried("spin", "initialize", "`initialize` failed: ", "timeout"),
        tried("spin", "health", "`health` failed: cpu_limit", "cpu"),
        tried("spin", "shutdown", "`shutdown` failed: cpu_limit", "cpu"),
        tried("sleep", "initialize", "`initialize` failed: timeout", "timeout"),
        tried("sleep", "health", "`health` failed: timeout", "timeout"),
        tried("sleep", "shutdown", "`shutdown` failed: timeout", "timeout"),
        tried("memory", "initialize", "`initialize` failed: memory_limit", "memory"),
        tried("resource_flood", "initialize", "`initialize` failed: host_call_limit", "host-call"),
    ])
    .await;
}

/// Only the first three channels of a plugin try it. The others find out with their messages.
#[tokio::test]
async fn whoever_misbehaves_in_its_start_is_stopped_there_message_by_message() {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    fs::write(folder.file("guest.wasm"), fixture("hostile")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"\n[plugin.limits]\nmemory_mib = 8\ncpu_ms = 50");
    let mut channel = |name: &str, idea: &str, when: &str| {
        folder.channel(
            "guest",
            &format!(
                "name = \"{name}\"\n[channel.options]\nidea = \"{idea}\"\nwhen = \
                 \"{when}\"\n[channel.retry]\nattempts = 1"
            ),
        );
    };
    for first in ["a1", "a2", "a3"] {
        channel(first, "environment", "send");
    }
    let cases = [
        ("trap", "crashed"),
        ("exit", "crashed"),
        ("memory", "limit"),
        ("sleep", "timeout"),
        ("spin", "timeout"),
    ];
    for (idea, _) in cases {
        channel(idea, idea, "initialize");
    }
    channel("late", "spin", "shutdown");
    let host = TestHost::start(folder).await;
    let neighbour = Neighbour::start(&host, provider);
    for (channel, outcome) in cases {
        let answer = host.send(channel, "x").await;
        answer.assert_problem(424, "delivery-failed");
        assert_eq!(answer.json["outcome"], outcome, "{channel}: {answer:?}");
    }
    // An instance that is told to end has done its work.
    assert_eq!(host.send("late", "x").await.status, 200);
    let spun = "conductor_guest_faults_total{plugin=\"guest\",kind=\"cpu\"}";
    assert_eq!(host.metric(spun).await, 0.0);
    neighbour.was_well().await;
    is_whole(&host).await;
    let (_folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("`shutdown` failed: cpu_limit"), "{}", ended.stderr);
}
