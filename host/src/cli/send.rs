//! `conductor send`: posts a notification to a running host.

use clap::Args;
use serde_json::{Map, Value, json};

use super::remote::{self, Failed, Remote, Session};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    remote: Remote,
    /// The tenant's channel; several times for several channels
    #[arg(long, required = true)]
    channel: Vec<String>,
    /// The text
    #[arg(long)]
    message: String,
    /// A title
    #[arg(long)]
    title: Option<String>,
    /// To whom or where
    #[arg(long)]
    target: Option<String>,
    /// low, normal, high or urgent
    #[arg(long)]
    priority: Option<String>,
}

pub(super) fn run(options: Options) -> u8 {
    remote::run(send(options))
}

async fn send(options: Options) -> Result<(bool, String), Failed> {
    let session = Session::open(&options.remote)?;
    let mut body = Map::new();
    match options.channel.as_slice() {
        [one] => body.insert(String::from("channel"), json!(one)),
        several => body.insert(String::from("channels"), json!(several)),
    };
    body.insert(String::from("message"), json!(options.message));
    for (name, value) in
        [("title", options.title), ("targetId", options.target), ("priority", options.priority)]
    {
        if let Some(value) = value {
            body.insert(String::from(name), Value::String(value));
        }
    }
    let answer = session.post("/notifications", Some(&Value::Object(body))).await?;
    let delivered = answer.is_success && answer.json.get("success") != Some(&Value::Bool(false));
    Ok((delivered, answer.pretty()))
}
