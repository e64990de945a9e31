//! `conductor replay` and `conductor purge`: have a running host send again, or remove, what it has
//! given up.

use clap::Args;
use serde_json::{Map, Value, json};

use super::{
    exit,
    remote::{self, Failed, Remote, Session},
};
use crate::ids::NotificationId;

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["id", "status"]))]
pub(super) struct Options {
    #[command(flatten)]
    remote: Remote,
    /// The notification, or the parent of several
    id: Option<NotificationId>,
    /// All with this status: dead
    #[arg(long, value_parser = ["dead"])]
    status: Option<String>,
    /// Only those of this channel
    #[arg(long, conflicts_with = "id")]
    channel: Option<String>,
    /// Only those accepted at this moment or later, as 2026-01-31T09:30:00Z
    #[arg(long, conflicts_with = "id")]
    from: Option<String>,
    /// Only those accepted before this moment
    #[arg(long, conflicts_with = "id")]
    to: Option<String>,
}

/// What is to be done with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    Replay,
    Purge,
}

impl Action {
    /// The last part of the path.
    const fn path(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Purge => "purge",
        }
    }

    /// What it is called when it is done, here and in the answer.
    const fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Purge => "purged",
        }
    }
}

pub(super) fn run(options: Options, action: Action) -> u8 {
    remote::run(act(options, action))
}

async fn act(options: Options, action: Action) -> Result<(bool, String), Failed> {
    let session = Session::open(&options.remote)?;
    let (path, done) = (action.path(), action.done());
    if let Some(id) = options.id {
        let answer = session.post(&format!("/notifications/{id}/{path}"), None).await?;
        return Ok((answer.is_success, answer.pretty()));
    }
    let mut body = Map::new();
    for (name, value) in [
        ("status", options.status),
        ("channel", options.channel),
        ("from", options.from),
        ("to", options.to),
    ] {
        if let Some(value) = value {
            body.insert(String::from(name), Value::String(value));
        }
    }
    let (mut acted_on, mut skipped) = (0, 0);
    loop {
        let request = Value::Object(body.clone());
        let answer = session.post(&format!("/notifications/{path}"), Some(&request)).await?;
        if !answer.is_success {
            let so_far = format!("{done} {acted_on} before this:\n{}", answer.pretty());
            return Err((exit::FAILURE, so_far));
        }
        let count = |name| answer.json.get(name).and_then(Value::as_u64).unwrap_or(0);
        acted_on += count(done);
        skipped += count("skipped");
        match answer.json.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) => drop(body.insert(String::from("cursor"), json!(cursor))),
            None => break,
        }
    }
    Ok((true, format!("{done} {acted_on}, passed over {skipped}")))
}
