//! Where attacks are put together, run at the same time, and judged.

use std::{fmt::Write as _, fs, time::Duration};

use futures_util::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use super::neighbour::{self, Neighbour};
use crate::kit::{Folder, TestHost, fixture};

/// Messages that one attack is sent: its faults in a row bring it into quarantine, where `/health`
/// shows it for as long as a test may take to look.
const LOAD: usize = 6;
/// How long one attack may take on a machine that is busy with all of them.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A hostile guest as tenant A's channel, and what must come of it.
pub(super) struct Attack {
    pub(super) name: String,
    file: Vec<u8>,
    idea: Option<&'static str>,
    when: &'static str,
    targets: Vec<String>,
    options: String,
    limits: String,
    grants: String,
    secrets: Vec<(&'static str, String)>,
    ends: Ends,
    counts: Vec<(String, f64)>,
}

/// How the attempt must end.
enum Ends {
    /// The host stops the guest: the code of the attempt.
    Stopped(&'static str),
    /// The guest is contained and says what it was answered: the provider id is one of these.
    Answers(Vec<String>),
    /// The guest says so itself: outcome, code, and a part of the detail.
    Says(&'static str, String, String),
}

/// An idea of `tests/fixtures/hostile` in `send`.
pub(super) fn attack(idea: &'static str) -> Attack {
    Attack { idea: Some(idea), ..of(idea, fixture("hostile")) }
}

/// Any file as a guest.
pub(super) fn of(name: &str, file: Vec<u8>) -> Attack {
    Attack {
        name: name.replace('_', "-"),
        file,
        idea: None,
        when: "send",
        targets: Vec::new(),
        options: String::new(),
        limits: String::new(),
        grants: String::new(),
        secrets: Vec::new(),
        ends: Ends::Answers(Vec::new()),
        counts: Vec::new(),
    }
}

impl Attack {
    /// Another name, where one idea is used twice.
    pub(super) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The option `targets`.
    pub(super) fn targets<T: Into<String>>(mut self, urls: impl IntoIterator<Item = T>) -> Self {
        self.targets = urls.into_iter().map(Into::into).collect();
        self
    }

    /// More lines of `[channel.options]`.
    pub(super) fn options(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.options);
        self
    }

    /// Lines of `[plugin.limits]`.
    pub(super) fn limits(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.limits);
        self
    }

    /// Lines of `[plugin.grants]`.
    pub(super) fn grants(mut self, lines: &str) -> Self {
        lines.clone_into(&mut self.grants);
        self
    }

    /// A secret of the channel.
    pub(super) fn secret(mut self, name: &'static str, value: &str) -> Self {
        self.secrets.push((name, value.to_owned()));
        self
    }

    /// The host stops it, with this code in the attempt.
    pub(super) fn stopped_by(mut self, code: &'static str) -> Self {
        let kind = match code {
            "cpu_limit" => "cpu",
            "memory_limit" => "memory",
            "stack_limit" => "stack",
            "host_call_limit" => "host-call",
            same => same,
        };
        self.ends = Ends::Stopped(code);
        self.counts("guest_faults_total", &format!("kind=\"{kind}\""), 1.0)
    }

    /// It goes on, and was answered this, in its own words.
    pub(super) fn answered(mut self, words: impl Into<String>) -> Self {
        self.ends = Ends::Answers(vec![words.into()]);
        self
    }

    /// Or this, where both are right.
    pub(super) fn or(mut self, words: impl Into<String>) -> Self {
        if let Ends::Answers(right) = &mut self.ends {
            right.push(words.into());
        }
        self
    }

    /// It fails by its own account.
    pub(super) fn says(
        mut self,
        outcome: &'static str,
        code: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        self.ends = Ends::Says(outcome, code.into(), detail.into());
        self
    }

    /// A metric of this plugin counts it, so often at least.
    pub(super) fn counts(mut self, metric: &str, label: &str, at_least: f64) -> Self {
        let label = if label.is_empty() { String::new() } else { format!(",{label}") };
        let metric = format!("conductor_{metric}{{plugin=\"{}\"{label}}}", self.name);
        self.counts.push((metric, at_least));
        self
    }

    fn enter(&self, folder: &mut Folder) {
        let file = format!("{}.wasm", self.name);
        fs::write(folder.file(&file), &self.file).unwrap();
        let Self { name, limits, grants, .. } = self;
        folder.plugin(
            name,
            &format!("source = \"{file}\"\n[plugin.limits]\n{limits}\n[plugin.grants]\n{grants}\n"),
        );
        let mut channel = String::from("[channel.retry]\nattempts = 1\n");
        if !self.secrets.is_empty() {
            channel.push_str("[channel.secrets]\n");
        }
        for (number, (secret, value)) in self.secrets.iter().enumerate() {
            let variable = format!("{}_{number}", name.to_uppercase().replace('-', "_"));
            folder.env(&variable, value);
            let _infallible = writeln!(channel, "{secret} = \"{variable}\"");
        }
        channel.push_str("[channel.options]\n");
        if let Some(idea) = self.idea {
            let targets = Value::from(self.targets.clone());
            let _infallible = writeln!(
                channel,
                "idea = \"{idea}\"\nwhen = \"{}\"\ntargets = {targets}",
                self.when
            );
        }
        channel.push_str(&self.options);
        folder.channel(name, &channel);
    }

    /// Sends the load and looks at what became of it.
    async fn run(&self, host: &TestHost) -> Result<(), String> {
        let first = host.hand_over(&self.name, "now").await;
        for _ in 1..LOAD {
            host.hand_over(&self.name, "and more").await;
        }
        let ended = until("it ends", async || {
            let answer = host.notification(&first).await.json;
            matches!(answer["status"].as_str(), Some("delivered" | "dead")).then_some(answer)
        })
        .await?;
        let attempt = &ended["attempts"][0];
        let was = |name: &str| attempt[name].as_str().unwrap_or_default();
        let wrong = |wanted: &str| Err(format!("wanted {wanted}, and the attempt is {attempt}"));
        match &self.ends {
            Ends::Stopped(code) => {
                let outcome = match *code {
                    "trap" | "start" => "crashed",
                    "timeout" => "timeout",
                    _ => "limit",
                };
                if (was("outcome"), was("code")) != (outcome, code) {
                    return wrong(&format!("{outcome} by {code}"));
                }
                self.shows_in_health(host, code).await?;
            }
            Ends::Answers(right)
                if was("outcome") != "delivered"
                    || !right.iter().any(|words| was("providerId") == words) =>
            {
                return wrong(&format!("one of the answers {right:?}"));
            }
            Ends::Says(outcome, code, detail)
                if was("outcome") != *outcome
                    || was("code") != code
                    || !was("detail").contains(detail) =>
            {
                return wrong(&format!("{outcome} {code}: …{detail}…"));
            }
            Ends::Answers(_) | Ends::Says(..) => {}
        }
        for (metric, at_least) in &self.counts {
            let found = host.metric(metric).await;
            if found < *at_least {
                return Err(format!("{metric} is {found}, wanted {at_least} at least"));
            }
        }
        Ok(())
    }

    /// `/health` names the channel and the fault.
    async fn shows_in_health(&self, host: &TestHost, code: &str) -> Result<(), String> {
        until(&format!("/health names {code}"), async || {
            let health = host.health().await;
            let unwell = health["unwell"].as_array().cloned().unwrap_or_default();
            let mine = unwell.iter().find(|one| one["channel"] == self.name)?;
            mine["detail"].as_str()?.contains(code).then_some(())
        })
        .await
    }
}

async fn until<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("it never came that {what}"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Runs all attacks at the same time beside the neighbour. The host is given back for more.
pub(super) async fn all_are_contained(attacks: Vec<Attack>) -> TestHost {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    for attack in &attacks {
        attack.enter(&mut folder);
    }
    let host = TestHost::start(folder).await;
    let neighbour = Neighbour::start(&host, provider);
    let results = join_all(attacks.iter().map(|attack| attack.run(&host))).await;
    let mut complaints = String::new();
    for (attack, result) in attacks.iter().zip(results) {
        if let Err(why) = result {
            let _infallible = writeln!(complaints, "{}: {why}", attack.name);
        }
    }
    assert!(complaints.is_empty(), "not contained as they should be:\n{complaints}");
    neighbour.was_well().await;
    is_whole(&host).await;
    host
}

/// Nothing of the host itself has broken.
pub(super) async fn is_whole(host: &TestHost) {
    let health = host.health().await;
    assert_eq!(health["tasksEnded"], serde_json::json!([]), "{health}");
    let stderr = host.stderr();
    assert!(!stderr.lines().any(|line| line.starts_with("thread '")), "{stderr}");
}
