//! A protocol's rules with what is the same for all of them: what has happened goes in, what is to
//! be done comes out. Nothing here waits or speaks.

use std::time::{Duration, SystemTime};

use super::{Action, End, Protocol, Session};
use crate::{
    HealthReport, Problem,
    task::{self, Backoff},
    time,
};

/// The longest wait for a greeting, which comes at once on a connection that is alive.
pub(super) const GREETING_PATIENCE: Duration = Duration::from_secs(10);
/// A heartbeat that is not acknowledged for so long (or half of the time between two) means that
/// something is wrong, though the connection is only given up when the next one is due.
const ACK_PATIENCE: Duration = Duration::from_secs(5);
/// The pause before connecting again, doubled with every failure up to …
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// … this: 288 tries a day, so that no provider has a reason to block us.
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// So many failures in a row, and the session is not gone on with any more.
const RESUMES_MAX: u32 = 3;
/// A connection without heartbeats has shown that it works when it was ready for so long.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
/// Where nothing is ever due: the longest that a timer of the host lasts.
const NEVER: Duration = Duration::from_secs(86_400);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This text has come.
    Text(String),
    /// The time of the last [`Step::WakeIn`] is over; at first, that of the wait for a greeting.
    Due,
    /// The connection is over, with the other side's code if it gave one.
    Closed(Option<u16>),
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this text.
    Send(String),
    /// Say [`Event::Due`] when so much time has passed.
    WakeIn(Duration),
    /// Close the connection and connect again after so long; none: never.
    Leave(Option<Duration>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Down,
    Resuming,
    Connected,
    /// The other side is silent.
    Stalled,
    Misconfigured,
}

/// How a connection is, and the rules of what comes next.
#[derive(Debug)]
pub struct Link<P> {
    protocol: P,
    session: Option<Session>,
    condition: Condition,
    since: SystemTime,
    why: String,
    /// Between two heartbeats, once the other side has said it.
    interval: Option<Duration>,
    /// When the heartbeat was sent that is not acknowledged.
    unanswered: Option<SystemTime>,
    /// It works when a heartbeat is acknowledged while it is ready.
    backoff: Backoff,
    misconfigured: Option<Problem>,
}

impl<P: Protocol> Link<P> {
    /// Not connected yet, and without a session.
    #[must_use]
    pub fn new(protocol: P, now: SystemTime) -> Self {
        Self {
            protocol,
            session: None,
            condition: Condition::Down,
            since: now,
            why: String::from("it has just been started"),
            interval: None,
            unanswered: None,
            backoff: Backoff::new(BACKOFF_FIRST, BACKOFF_MAX),
            misconfigured: None,
        }
    }

    /// Goes on with this session, if there is one, on the next connection.
    pub fn resume(&mut self, session: Option<Session>) {
        self.session = session;
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// What only the operator can mend, if it has come to that.
    #[must_use]
    pub const fn misconfigured(&self) -> Option<&Problem> {
        self.misconfigured.as_ref()
    }

    /// Something has happened on the connection.
    pub fn hear(&mut self, event: Event, now: SystemTime) -> Vec<Step> {
        let peer = P::PEER;
        let stalled = match (event, self.interval, self.unanswered) {
            (Event::Text(text), _, _) => return self.heard(&text, now),
            (Event::Closed(code), _, _) => {
                let why = match code {
                    Some(code) => format!("{peer} closed the connection with {code}"),
                    None => String::from("the connection was cut"),
                };
                let end = self.protocol.closed(code, why, self.session.as_ref());
                return vec![Step::Leave(self.ended(end, now))];
            }
            (Event::Due, Some(interval), None) => {
                return vec![self.beat(now), Step::WakeIn(interval)];
            }
            (Event::Due, None, _) if self.condition == Condition::Connected => {
                return vec![Step::WakeIn(NEVER)];
            }
            (Event::Due, Some(_), Some(sent)) => (self.no_acknowledgement(), sent),
            (Event::Due, None, _) => (format!("{peer} says nothing"), now),
        };
        let (why, since) = stalled;
        self.enter(Condition::Stalled, why.clone(), since);
        vec![Step::Leave(self.ended(End::again(why), now))]
    }

    fn heard(&mut self, text: &str, now: SystemTime) -> Vec<Step> {
        let mut steps = Vec::new();
        for action in self.protocol.hear(text, &mut self.session) {
            match action {
                Action::Send(text) => steps.push(Step::Send(text)),
                Action::BeatEvery(interval) => {
                    self.interval = Some(interval);
                    steps.push(Step::WakeIn(task::jitter(interval)));
                }
                Action::Beat => steps.push(self.beat(now)),
                Action::Acknowledged => {
                    self.unanswered = None;
                    if self.condition == Condition::Connected {
                        self.backoff.worked();
                    }
                }
                Action::Ready(words) => self.enter(Condition::Connected, words, now),
                Action::Leave(end) => {
                    steps.push(Step::Leave(self.ended(end, now)));
                    break;
                }
            }
        }
        steps
    }

    fn beat(&mut self, now: SystemTime) -> Step {
        self.unanswered.get_or_insert(now);
        Step::Send(self.protocol.heartbeat(self.session.as_ref()))
    }

    /// There is no connection (any more): how long to wait before the next; none: there is none.
    pub fn ended(&mut self, end: End, now: SystemTime) -> Option<Duration> {
        let End { why, pause, ends_session, misconfigured } = end;
        if self.interval.is_none()
            && self.condition == Condition::Connected
            && self.since + PROVEN_AFTER <= now
        {
            self.backoff.worked();
        }
        (self.interval, self.unanswered) = (None, None);
        if ends_session || self.backoff.failures() >= RESUMES_MAX {
            self.session = None;
        }
        if let Some(code) = misconfigured {
            self.enter(Condition::Misconfigured, why.clone(), now);
            self.misconfigured = Some(Problem { code, detail: why });
            return None;
        }
        let next = match (self.condition, &self.session) {
            // Silence is over when the other side speaks again, not when we give up.
            (Condition::Stalled, _) => Condition::Stalled,
            (_, Some(_)) => Condition::Resuming,
            (_, None) => Condition::Down,
        };
        self.enter(next, why, now);
        Some(pause.max(self.backoff.failed()))
    }

    fn enter(&mut self, condition: Condition, why: String, since: SystemTime) {
        if self.condition != condition {
            self.since = since;
        }
        (self.condition, self.why) = (condition, why);
    }

    fn no_acknowledgement(&self) -> String {
        format!("{} does not acknowledge heartbeats", P::PEER)
    }

    /// In words. Healthy when it is ready, otherwise degraded: right where messages go another way.
    #[must_use]
    pub fn health(&self, now: SystemTime) -> HealthReport {
        let patience =
            self.interval.map_or(ACK_PATIENCE, |interval| ACK_PATIENCE.min(interval / 2));
        let overdue = self.unanswered.filter(|sent| *sent + patience < now);
        let (condition, since, why) = match overdue {
            Some(sent) if self.condition == Condition::Connected => {
                (Condition::Stalled, sent, &self.no_acknowledgement())
            }
            _ => (self.condition, self.since, &self.why),
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
            Condition::Connected => HealthReport::healthy_and(Some(detail)),
            _ => HealthReport::degraded(detail),
        }
    }
}
