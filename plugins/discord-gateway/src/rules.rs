//! The rules of Discord's gateway (<https://docs.discord.com/developers/events/gateway>).

use std::time::Duration;

use conductor_sdk::{
    connection::{Action, End, Protocol, Session},
    json,
    serde_json::{self, Value},
    task,
};

/// The code of what is wrong when no message can be sent either.
pub(crate) const TOKEN_REFUSED: &str = "token_refused";

/// The bot, as it introduces itself.
pub(crate) struct Rules {
    /// The token's placeholder.
    pub(crate) token: String,
    /// What members see of it.
    pub(crate) presence: Value,
}

impl Rules {
    /// Begins a session, or goes on with this one.
    fn introduction(&self, session: Option<&Session>) -> String {
        let token = &self.token;
        let payload = match session {
            Some(Session { id, seq, .. }) => {
                json!({ "op": 6, "d": { "token": token, "session_id": id, "seq": seq } })
            }
            // Without intents: it sends, and reads nothing of what happens there.
            None => json!({ "op": 2, "d": {
                "token": token,
                "intents": 0,
                "properties": { "os": "linux", "browser": "conductor", "device": "conductor" },
                "presence": self.presence,
            }}),
        };
        payload.to_string()
    }
}

impl Protocol for Rules {
    const PEER: &'static str = "Discord";
    /// With 1000 and 1001 Discord ends the session too
    /// (<https://docs.discord.com/developers/events/gateway#initiating-a-disconnect>).
    const CLOSE_CODE: u16 = 4_000;

    fn hear(&mut self, text: &str, session: &mut Option<Session>) -> Vec<Action> {
        // What is no payload has no opcode that means anything.
        let payload: Value = serde_json::from_str(text).unwrap_or_default();
        let part = |pointer: &str| payload.pointer(pointer).unwrap_or(&Value::Null);
        let seq = part("/s").as_u64();
        if let (Some(session), Some(seq)) = (session.as_mut(), seq) {
            session.seq = seq;
        }
        match (part("/op").as_u64().unwrap_or(u64::MAX), part("/t").as_str()) {
            (0, Some("READY")) => {
                let text = |pointer: &str| part(pointer).as_str().unwrap_or_default().to_owned();
                let (id, url) = (text("/d/session_id"), text("/d/resume_gateway_url"));
                *session = Some(Session { id, url, seq: seq.unwrap_or_default() });
                let user = part("/d/user/username").as_str().unwrap_or("an unnamed bot");
                vec![Action::Ready(format!("as {user}"))]
            }
            (0, Some("RESUMED")) => vec![Action::Ready("in a session that was resumed".into())],
            (1, _) => vec![Action::Beat],
            (7, _) => vec![Action::Leave(End::again("Discord asked for a new connection"))],
            (9, _) => {
                // The pause is the one that Discord has documented for this.
                let pause = Duration::from_secs(1) + task::jitter(Duration::from_secs(4));
                let end = End::again("Discord does not know the session (any more)").after(pause);
                let goes_on = part("/d").as_bool() == Some(true);
                vec![Action::Leave(if goes_on { end } else { end.without_session() })]
            }
            (10, _) => match part("/d/heartbeat_interval").as_u64() {
                Some(ms @ 1..) => vec![
                    Action::Send(self.introduction(session.as_ref())),
                    Action::BeatEvery(Duration::from_millis(ms)),
                ],
                _ => vec![Action::Leave(End::again("Discord's Hello has no interval"))],
            },
            (11, _) => vec![Action::Acknowledged],
            _ => Vec::new(),
        }
    }

    fn heartbeat(&mut self, session: Option<&Session>) -> String {
        json!({ "op": 1, "d": session.map(|session| session.seq) }).to_string()
    }

    /// By <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>.
    fn closed(&mut self, code: Option<u16>, why: String, session: Option<&Session>) -> End {
        match code {
            Some(4004) if session.is_none() => {
                End::misconfigured(TOKEN_REFUSED, "Discord does not take the bot's token (4004)")
            }
            // The token may have changed since: only a new session tells. Not authenticated; the
            // sequence is wrong; the session has timed out.
            Some(4003 | 4004 | 4007 | 4009) => End::again(why).without_session(),
            Some(code @ 4010..=4014) => {
                let what = match code {
                    4011 => "the bot is in too many servers for one connection",
                    _ => "this plugin asks for what the bot must not have",
                };
                End::misconfigured(code.to_string(), format!("{what}: {why}"))
            }
            _ => End::again(why),
        }
    }
}
