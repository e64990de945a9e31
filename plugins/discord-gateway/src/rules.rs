//! The rules of Discord's gateway (<https://docs.discord.com/developers/events/gateway>): what has
//! happened goes in, what is to be done comes out. Nothing here waits or speaks.

use std::time::{Duration, SystemTime};

use conductor_sdk::{
    HealthReport, json,
    serde_json::Value,
    task::{self, Backoff},
    time,
};

/// The longest wait for Hello, which comes at once on a connection that is alive.
pub(crate) const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// A heartbeat that is not acknowledged for so long means that something is wrong, though the
/// connection is only given up when the next one is due.
const ACK_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before connecting again, doubled with every failure up to …
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// … this: 288 tries a day, far below the thousand session starts that a bot has.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// So many failures in a row, and the session is not resumed any more.
const RESUMES_MAX: u32 = 3;

/// What is needed to go on with a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: String,
    /// Where to resume.
    pub(crate) url: String,
    /// The number of the last event.
    pub(crate) seq: u64,
}

impl Session {
    /// As it is kept for the next instance.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "id": self.id, "url": self.url, "seq": self.seq })
    }

    pub(crate) fn of_json(kept: &Value) -> Option<Self> {
        let text = |name: &str| kept[name].as_str().map(str::to_owned);
        Some(Self { id: text("id")?, url: text("url")?, seq: kept["seq"].as_u64()? })
    }
}

/// What has happened on a connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// Discord has sent this payload.
    Received(Value),
    /// The time of the last [`Action::WakeIn`] is over, at first [`HELLO_PATIENCE`].
    Due,
    /// It is over, with Discord's code if there is one.
    Closed(Option<u16>),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send a heartbeat with the number of the last event.
    Heartbeat(Option<u64>),
    /// Begin a session.
    Identify,
    /// Go on with this one.
    Resume(Session),
    /// Say when so much time has passed.
    WakeIn(Duration),
    /// Close the connection so that the session can be resumed, and connect again after so long.
    Leave(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Down,
    Resuming,
    Connected,
    /// Discord is silent.
    Stalled,
    /// Discord does not want this bot like this, and connecting again will not change that.
    Misconfigured,
}

/// How the connection is.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) session: Option<Session>,
    condition: Condition,
    since: SystemTime,
    why: String,
    /// Between two heartbeats, once Hello has come.
    interval: Option<Duration>,
    /// When the heartbeat was sent that is not acknowledged.
    unanswered: Option<SystemTime>,
    /// It works when a heartbeat is acknowledged in a session.
    backoff: Backoff,
    /// Whether Discord does not take the bot's token.
    token_refused: bool,
}

impl Gateway {
    pub(crate) fn new(now: SystemTime) -> Self {
        Self {
            session: None,
            condition: Condition::Down,
            since: now,
            why: String::from("it has just been started"),
            interval: None,
            unanswered: None,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
            token_refused: false,
        }
    }

    /// Whether there is no use in connecting again.
    pub(crate) fn is_misconfigured(&self) -> bool {
        self.condition == Condition::Misconfigured
    }

    /// Why no message can be sent, if that is so.
    pub(crate) fn token_refused(&self) -> Option<&str> {
        self.token_refused.then_some(self.why.as_str())
    }

    /// Something has happened on the connection.
    pub(crate) fn hear(&mut self, event: Event, now: SystemTime) -> Vec<Action> {
        match (event, self.interval, self.unanswered) {
            (Event::Received(payload), _, _) => self.received(&payload, now),
            (Event::Closed(code), _, _) => self.closed(code, now),
            (Event::Due, None, _) => self.stalled("Discord says nothing", now, now),
            (Event::Due, Some(_), Some(sent)) => {
                self.stalled("Discord does not acknowledge heartbeats", sent, now)
            }
            (Event::Due, Some(interval), None) => {
                vec![self.heartbeat(now), Action::WakeIn(interval)]
            }
        }
    }

    fn received(&mut self, payload: &Value, now: SystemTime) -> Vec<Action> {
        let (data, seq) = (&payload["d"], payload["s"].as_u64());
        if let (Some(session), Some(seq)) = (&mut self.session, seq) {
            session.seq = seq;
        }
        // What is no payload has no opcode that means anything.
        match (payload["op"].as_u64().unwrap_or(u64::MAX), payload["t"].as_str()) {
            (0, Some("READY")) => {
                let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
                self.session = Some(Session {
                    id: text("session_id"),
                    url: text("resume_gateway_url"),
                    seq: seq.unwrap_or_default(),
                });
                let user = data.pointer("/user/username").and_then(Value::as_str);
                let user = user.unwrap_or("an unnamed bot");
                self.enter(Condition::Connected, format!("as {user}"), now);
            }
            (0, Some("RESUMED")) => {
                self.enter(
                    Condition::Connected,
                    String::from("in a session that was resumed"),
                    now,
                );
            }
            (1, _) => return vec![self.heartbeat(now)],
            (7, _) => return self.leave("Discord asked for a new connection", Duration::ZERO, now),
            // The pause is the one that Discord has documented for this.
            (9, _) => {
                if *data != Value::Bool(true) {
                    self.session = None;
                }
                let pause = Duration::from_secs(1) + task::jitter(Duration::from_secs(4));
                return self.leave("Discord does not know the session (any more)", pause, now);
            }
            (10, _) => {
                let Some(ms @ 1..) = data["heartbeat_interval"].as_u64() else {
                    return self.leave("Discord's Hello has no interval", Duration::ZERO, now);
                };
                let interval = Duration::from_millis(ms);
                self.interval = Some(interval);
                let hello = self.session.clone().map_or(Action::Identify, Action::Resume);
                return vec![hello, Action::WakeIn(task::jitter(interval))];
            }
            (11, _) => {
                self.unanswered = None;
                if self.condition == Condition::Connected {
                    self.backoff.worked();
                }
            }
            _ => {}
        }
        Vec::new()
    }

    fn heartbeat(&mut self, now: SystemTime) -> Action {
        self.unanswered.get_or_insert(now);
        Action::Heartbeat(self.session.as_ref().map(|session| session.seq))
    }

    /// By <https://docs.discord.com/developers/topics/opcodes-and-status-codes#gateway>.
    fn closed(&mut self, code: Option<u16>, now: SystemTime) -> Vec<Action> {
        let why = match code {
            Some(code) => format!("Discord closed the connection with {code}"),
            None => String::from("the connection was cut"),
        };
        match code {
            // The token may have changed since: only a new session tells.
            Some(4004) if self.session.is_some() => self.session = None,
            Some(4004) => {
                self.refuse_token("Discord does not take the bot's token (4004)", now);
                return vec![Action::Leave(Duration::ZERO)];
            }
            Some(code @ 4010..=4014) => {
                let what = match code {
                    4011 => "the bot is in too many servers for one connection",
                    _ => "this plugin asks for what the bot must not have",
                };
                self.session = None;
                self.enter(Condition::Misconfigured, format!("{what}: {why}"), now);
                return vec![Action::Leave(Duration::ZERO)];
            }
            // Not authenticated; the sequence is wrong; the session has timed out.
            Some(4003 | 4007 | 4009) => self.session = None,
            _ => {}
        }
        self.leave(&why, Duration::ZERO, now)
    }

    /// Discord does not take the token.
    pub(crate) fn refuse_token(&mut self, why: &str, now: SystemTime) {
        self.session = None;
        self.token_refused = true;
        self.enter(Condition::Misconfigured, why.to_owned(), now);
    }

    fn stalled(&mut self, why: &str, since: SystemTime, now: SystemTime) -> Vec<Action> {
        self.enter(Condition::Stalled, why.to_owned(), since);
        self.leave(why, Duration::ZERO, now)
    }

    fn leave(&mut self, why: &str, pause: Duration, now: SystemTime) -> Vec<Action> {
        vec![Action::Leave(self.lost(why, pause, now))]
    }

    /// There is no connection (any more): how long to wait before the next, `pause` at least.
    pub(crate) fn lost(&mut self, why: &str, pause: Duration, now: SystemTime) -> Duration {
        (self.interval, self.unanswered) = (None, None);
        if self.backoff.failures() >= RESUMES_MAX {
            self.session = None;
        }
        let next = match (self.condition, &self.session) {
            // Silence is over when Discord speaks again, not when we give up.
            (Condition::Stalled, _) => Condition::Stalled,
            (_, Some(_)) => Condition::Resuming,
            (_, None) => Condition::Down,
        };
        self.enter(next, why.to_owned(), now);
        pause.max(self.backoff.failed())
    }

    fn enter(&mut self, condition: Condition, why: String, since: SystemTime) {
        if self.condition != condition {
            self.since = since;
        }
        (self.condition, self.why) = (condition, why);
    }

    /// In words.
    pub(crate) fn health(&self, now: SystemTime) -> HealthReport {
        let patience =
            self.interval.map_or(ACK_PATIENCE, |interval| ACK_PATIENCE.min(interval / 2));
        let overdue = self.unanswered.filter(|sent| *sent + patience < now);
        let (condition, since, why) = match overdue {
            Some(sent) if self.condition == Condition::Connected => {
                (Condition::Stalled, sent, "Discord does not acknowledge heartbeats")
            }
            _ => (self.condition, self.since, self.why.as_str()),
        };
        let word = match condition {
            Condition::Down => "not connected",
            Condition::Resuming => "resuming",
            Condition::Connected => "connected",
            Condition::Stalled => "stalled",
            Condition::Misconfigured => "misconfigured",
        };
        let detail = format!("{word} since {}: {why}", time::format_utc(since));
        match condition {
            Condition::Connected => {
                HealthReport { detail: Some(detail), ..HealthReport::healthy() }
            }
            _ if self.token_refused => HealthReport::unhealthy(detail),
            // Messages go another way.
            _ => HealthReport::degraded(detail),
        }
    }
}
