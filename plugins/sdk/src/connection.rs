//! A connection that lives on, for an [`AsyncChannel`](crate::AsyncChannel) with `CONNECTED`.
//!
//! What every such channel needs is here: it connects, notices when the other side is silent, beats,
//! connects again after pauses that grow, goes on with its session or begins anew, keeps the session
//! for the instance that comes next, and says in a sentence how it is and since when. What a
//! provider's messages mean is a [`Protocol`]: pure rules, from what has happened to what is to be
//! done. A [`Link`] is these rules with everything but the waiting, so that a test asks it one event
//! after the other; a [`Connection`] drives it.
//!
//! ```no_run
//! use std::time::Duration;
//! use conductor_sdk::{connection::{Action, Connection, Protocol, Session}, websocket, RunEnd};
//!
//! struct Chat;
//!
//! impl Protocol for Chat {
//!     const PEER: &'static str = "the chat";
//!
//!     fn hear(&mut self, text: &str, _session: &mut Option<Session>) -> Vec<Action> {
//!         match text {
//!             "welcome" => vec![Action::BeatEvery(Duration::from_secs(30))],
//!             "pong" => vec![Action::Acknowledged, Action::Ready(String::from("it answers"))],
//!             _ => Vec::new(),
//!         }
//!     }
//!
//!     fn heartbeat(&mut self, _session: Option<&Session>) -> String {
//!         String::from("ping")
//!     }
//! }
//!
//! async fn run(connection: &Connection<Chat>) -> RunEnd {
//!     let url = "wss://chat.example/";
//!     connection.run(async |_session| Ok(websocket::connect(url, &[]).await?)).await
//! }
//! ```

mod hold;
mod link;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Problem, SendError, state, websocket};

pub use hold::Connection;
pub use link::{Event, Link, Step};

/// Under which key of [`state`](crate::state) the session is kept.
pub const SESSION: &str = "session";

/// What a provider's messages mean. Nothing here waits or speaks.
pub trait Protocol {
    /// Who is at the other end, as a sentence about it begins: "Discord".
    const PEER: &'static str;
    /// The code to close with, so that the session can be resumed where the provider has sessions.
    const CLOSE_CODE: u16 = 1_000;

    /// A text has come: what is to be done, in this order. The session is for the rules to begin,
    /// to count on and to end; it is kept from there.
    fn hear(&mut self, text: &str, session: &mut Option<Session>) -> Vec<Action>;

    /// The text of a heartbeat. Only asked of rules that say [`Action::Beat`] or
    /// [`Action::BeatEvery`].
    fn heartbeat(&mut self, session: Option<&Session>) -> String {
        let _unused = session;
        String::new()
    }

    /// The connection is over, with the other side's code if it gave one; `why` says so in words.
    /// Unless the rules know better it is made again.
    fn closed(&mut self, code: Option<u16>, why: String, session: Option<&Session>) -> End {
        let _unused = (code, session);
        End::again(why)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this text.
    Send(String),
    /// The other side has greeted us and wants a heartbeat this often, the first one after a random
    /// part of that. Each is to be acknowledged before the next. Not zero.
    BeatEvery(Duration),
    /// Send a heartbeat now.
    Beat,
    /// The other side has acknowledged the last heartbeat.
    Acknowledged,
    /// The connection does what it is for, and a few words about that: "as beeper". Without
    /// heartbeats the other side may be silent from now on.
    Ready(String),
    /// Close it. What stands after this in the list is not done.
    Leave(End),
}

/// What is needed to go on with a session on another connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What the provider calls it.
    pub id: String,
    /// Where to connect to go on with it.
    pub url: String,
    /// The number of the last event.
    pub seq: u64,
}

impl Session {
    /// The session that an instance before this one has left.
    fn left() -> Option<Self> {
        let kept: Value = state::get_json(SESSION)?;
        let text = |name: &str| kept.get(name)?.as_str().map(str::to_owned);
        Some(Self { id: text("id")?, url: text("url")?, seq: kept.get("seq")?.as_u64()? })
    }

    /// Keeps it for the next instance. If there is no room, that one begins a session of its own.
    fn keep(session: Option<&Self>) {
        match session {
            Some(Self { id, url, seq }) => {
                let kept = json!({ "id": id, "url": url, "seq": seq });
                drop(state::set_json(SESSION, &kept, None));
            }
            None => state::remove(SESSION),
        }
    }
}

/// Why there is no connection (any more), and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    why: String,
    /// Before the next one, at least.
    pause: Duration,
    ends_session: bool,
    /// The code of a problem that only the operator can mend.
    misconfigured: Option<String>,
}

impl End {
    /// It is made again, after a pause that grows with each failure.
    #[must_use]
    pub fn again(why: impl Into<String>) -> Self {
        Self { why: why.into(), pause: Duration::ZERO, ends_session: false, misconfigured: None }
    }

    /// The same, and the pause is no shorter than this.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The same, and a session is not gone on with.
    #[must_use]
    pub fn without_session(self) -> Self {
        Self { ends_session: true, ..self }
    }

    /// Nobody but the operator can mend it: it is not made again.
    #[must_use]
    pub fn misconfigured(code: impl Into<String>, why: impl Into<String>) -> Self {
        Self { misconfigured: Some(code.into()), ..Self::again(why).without_session() }
    }
}

/// What a provider says when it is asked where to connect.
impl From<SendError> for End {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Misconfigured(Problem { code, detail }) => Self::misconfigured(code, detail),
            SendError::Retry(retry) => {
                let pause = Duration::from_millis(retry.after_ms.unwrap_or_default().into());
                Self::again(retry.problem.detail).after(pause)
            }
            other => Self::again(&*other.problem().detail),
        }
    }
}

/// What comes of connecting.
impl From<websocket::Error> for End {
    fn from(error: websocket::Error) -> Self {
        let end = Self::again(error.detail());
        match error {
            // Elsewhere than where the session is it may be granted.
            websocket::Error::Denied(_) | websocket::Error::Invalid(_) => end.without_session(),
            _ => end,
        }
    }
}

#[cfg(test)]
mod tests;
