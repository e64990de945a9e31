//! What plugins tried that they may not, and what they did that is worth a line: events in the trail,
//! lines in the log, an alarm on the health board. The first of a kind is written at once, those that
//! follow are counted and written once a minute, so that a plugin that tries a thousand times a
//! second writes two lines a minute.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::trail::Trail;
use crate::{
    clock::{Clock, UnixMs},
    egress::{Denial, DenialReason},
    ids::PluginName,
    limits::{
        SECURITY_EVENTS_EVERY, SECURITY_NEWS_MAX, SECURITY_NEWS_PER_CHANNEL,
        SECURITY_ORIGIN_BYTES_MAX,
    },
    observe::{HealthBoard, SecurityAlarm},
    store::Lane,
};

/// Stands for all origins and secrets of a channel beyond those that are told apart.
const OTHERS: &str = "others";

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum News {
    /// A secret was to go where it may not.
    SecretDenied,
    /// A plugin wanted the value of a secret and may not have it.
    RevealDenied,
    /// A plugin read the value of a secret, as it may.
    SecretRevealed,
    /// A request was refused for its origin or address.
    EgressDenied,
    /// A request went out that will be refused once the grants are enforced.
    EgressReported,
}

impl News {
    /// The first word of the event.
    const fn word(self) -> &'static str {
        match self {
            Self::SecretDenied => "secret-denied",
            Self::RevealDenied => "reveal-denied",
            Self::SecretRevealed => "secret-revealed",
            Self::EgressDenied => "egress-denied",
            Self::EgressReported => "egress-reported",
        }
    }

    /// Whether an honest plugin does not do this.
    const fn is_alarm(self) -> bool {
        matches!(self, Self::SecretDenied | Self::RevealDenied)
    }
}

/// Whose news, of what kind, about what: the origin, or the secret's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    lane: Lane,
    news: News,
    about: String,
}

struct Told {
    plugin: PluginName,
    /// What was said, without how often.
    text: String,
    since: UnixMs,
    /// How often since then.
    more: u64,
}

/// See the module's text.
#[derive(Clone)]
pub(super) struct SecurityDesk(Arc<Shared>);

struct Shared {
    clock: Clock,
    trail: Trail,
    health: Arc<HealthBoard>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    told: HashMap<Key, Told>,
    /// News that the table had no room for.
    dropped: u64,
}

impl SecurityDesk {
    pub(super) fn new(clock: Clock, trail: Trail, health: Arc<HealthBoard>) -> Self {
        Self(Arc::new(Shared { clock, trail, health, table: Mutex::default() }))
    }

    /// A request was refused, or would have been.
    pub(super) fn denied(&self, lane: &Lane, plugin: &PluginName, denial: &Denial) {
        let Denial { reason, origin, secret, lacks_grant, enforced } = denial;
        let news = match reason {
            DenialReason::Secret => News::SecretDenied,
            DenialReason::NotAsked
            | DenialReason::NotGranted
            | DenialReason::Scheme
            | DenialReason::Port
            | DenialReason::Address => {
                if *enforced {
                    News::EgressDenied
                } else {
                    News::EgressReported
                }
            }
            // Mistakes of a request, which the plugin hears of and the counter counts.
            DenialReason::Method
            | DenialReason::Header
            | DenialReason::Size
            | DenialReason::Malformed => return,
        };
        let mut origin = origin.clone().unwrap_or_else(|| String::from("no origin"));
        origin.truncate(origin.floor_char_boundary(SECURITY_ORIGIN_BYTES_MAX));
        if *lacks_grant {
            self.0.health.not_granted(plugin, &origin);
        }
        let text = match (news, secret) {
            (News::SecretDenied, Some(secret)) => {
                format!(
                    "the secret {secret} was to be sent to {origin}, which it is not granted for"
                )
            }
            (News::EgressReported, _) => format!(
                "a request to {origin} went out that is not granted ({}): the grants are in the \
                 mode report-only",
                reason.word()
            ),
            _ => format!("a request to {origin} was refused ({})", reason.word()),
        };
        self.tell(lane, plugin, news, origin, text);
    }

    /// A plugin read a secret's value, or wanted to.
    pub(super) fn revealed(&self, lane: &Lane, plugin: &PluginName, secret: &str, granted: bool) {
        let (news, what) = if granted {
            (News::SecretRevealed, "was read by the plugin, as [plugin.grants] reveal allows")
        } else {
            (News::RevealDenied, "was asked for by the plugin and not given")
        };
        let text = format!("the value of the secret {secret} {what}");
        self.tell(lane, plugin, news, secret.to_owned(), text);
    }

    fn tell(&self, lane: &Lane, plugin: &PluginName, news: News, about: String, text: String) {
        let now = self.0.clock.now();
        if news.is_alarm() {
            self.0.health.security_alarm(SecurityAlarm {
                at: now,
                tenant: lane.tenant,
                channel: lane.channel.clone(),
                plugin: plugin.clone(),
                what: news.word(),
                detail: text.clone(),
            });
        }
        let mut table = self.lock();
        let mut key = Key { lane: lane.clone(), news, about };
        if let Some(told) = table.told.get_mut(&key) {
            told.more += 1;
            return;
        }
        let mut text = text;
        let of_channel = table.told.keys().filter(|known| known.lane == *lane).count();
        if of_channel >= SECURITY_NEWS_PER_CHANNEL {
            OTHERS.clone_into(&mut key.about);
            text = String::from("more of the same, with other origins or secrets");
            if let Some(told) = table.told.get_mut(&key) {
                told.more += 1;
                return;
            }
        }
        if table.told.len() >= SECURITY_NEWS_MAX {
            table.dropped += 1;
            return;
        }
        self.write(&key, plugin, &text, 0);
        table.told.insert(key, Told { plugin: plugin.clone(), text, since: now, more: 0 });
    }

    /// Writes down how often what was told has happened since, and forgets what has not.
    pub(super) fn flush(&self) {
        let now = self.0.clock.now();
        let mut table = self.lock();
        table.told.retain(|key, told| {
            if now.since(told.since) < SECURITY_EVENTS_EVERY {
                return true;
            }
            let more = std::mem::take(&mut told.more);
            told.since = now;
            if more > 0 {
                self.write(key, &told.plugin, &told.text, more);
            }
            more > 0
        });
        let dropped = std::mem::take(&mut table.dropped);
        drop(table);
        if dropped > 0 {
            tracing::warn!(dropped, "more security events than can be told apart");
            let detail = format!("overflow: {dropped} more events than can be told apart");
            self.0.trail.security(None, detail);
        }
    }

    fn write(&self, key: &Key, plugin: &PluginName, text: &str, more: u64) {
        let Key { lane, news, .. } = key;
        let times = if more > 0 { format!(" ({more} more times)") } else { String::new() };
        tracing::warn!(
            tenant = %lane.tenant,
            channel = %lane.channel,
            plugin = %plugin,
            event = news.word(),
            "{text}{times}"
        );
        let detail = format!(
            "{}: channel \"{}\", plugin \"{plugin}\": {text}{times}",
            news.word(),
            lane.channel
        );
        self.0.trail.security(Some(lane.tenant), detail);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what has gathered, again and again.
pub(super) async fn run(desk: SecurityDesk) {
    loop {
        tokio::time::sleep(SECURITY_EVENTS_EVERY / 4).await;
        desk.flush();
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        ids::TenantId,
        limits::{NOT_GRANTED_ORIGINS_MAX, SECURITY_ALARMS_MAX},
        store::NewEvent,
    };

    fn desk() -> (SecurityDesk, Clock, Arc<HealthBoard>, tokio::sync::mpsc::Receiver<NewEvent>) {
        let (trail, events) = Trail::new();
        let (clock, health) = (Clock::manual(UnixMs(1_000_000)), Arc::<HealthBoard>::default());
        (SecurityDesk::new(clock.clone(), trail, Arc::clone(&health)), clock, health, events)
    }

    fn lane(channel: &str) -> Lane {
        Lane { tenant: TenantId(Uuid::from_u128(1)), channel: channel.parse().unwrap() }
    }

    fn denial(reason: DenialReason, origin: &str) -> Denial {
        Denial {
            reason,
            origin: Some(origin.to_owned()),
            secret: Some(String::from("TOKEN")),
            lacks_grant: reason == DenialReason::NotGranted,
            enforced: true,
        }
    }

    fn details(events: &mut tokio::sync::mpsc::Receiver<NewEvent>) -> Vec<String> {
        std::iter::from_fn(|| events.try_recv().ok()?.detail).collect()
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_once_a_minute() {
        let (desk, clock, health, mut events) = desk();
        let plugin = "p".parse().unwrap();
        let denied = denial(DenialReason::Secret, "https://evil.example");
        for _ in 0..1_000 {
            desk.denied(&lane("c"), &plugin, &denied);
        }
        let told = details(&mut events);
        assert_eq!(
            told,
            ["secret-denied: channel \"c\", plugin \"p\": the secret TOKEN was to be sent to \
              https://evil.example, which it is not granted for"]
        );
        clock.advance_ms(59_999);
        desk.flush();
        assert_eq!(details(&mut events).len(), 0);
        clock.advance_ms(1);
        desk.flush();
        let told = details(&mut events);
        assert!(told.len() == 1 && told[0].ends_with(" (999 more times)"), "{told:?}");
        clock.advance_ms(60_000);
        desk.flush();
        assert_eq!(details(&mut events).len(), 0);
        desk.denied(&lane("c"), &plugin, &denied);
        assert_eq!(details(&mut events).len(), 1, "forgotten after a quiet minute");
        assert_eq!(health.read().security_alarms.len(), SECURITY_ALARMS_MAX);
    }

    #[test]
    fn neither_many_origins_nor_many_channels_grow_without_end() {
        let (desk, clock, health, mut events) = desk();
        let plugin = "p".parse().unwrap();
        for number in 0..1_000 {
            let denied = denial(DenialReason::NotGranted, &format!("https://h{number}.example"));
            desk.denied(&lane("c"), &plugin, &denied);
        }
        assert_eq!(details(&mut events).len(), SECURITY_NEWS_PER_CHANNEL + 1);
        let not_granted = health.read().not_granted;
        assert_eq!(not_granted[&plugin].len(), NOT_GRANTED_ORIGINS_MAX);
        assert_eq!(health.read().security_alarms.len(), 0);

        for number in 0..SECURITY_NEWS_MAX + 10 {
            desk.revealed(&lane(&format!("c{number}")), &plugin, "KEY", true);
        }
        assert_eq!(desk.lock().told.len(), SECURITY_NEWS_MAX);
        clock.advance_ms(60_000);
        details(&mut events);
        desk.flush();
        let told = details(&mut events);
        assert!(told.iter().any(|told| told.starts_with("overflow: 19 more")), "{told:?}");
    }

    #[test]
    fn a_mistake_in_a_request_is_no_event() {
        let (desk, _clock, _health, mut events) = desk();
        for reason in [DenialReason::Header, DenialReason::Size, DenialReason::Malformed] {
            desk.denied(&lane("c"), &"p".parse().unwrap(), &denial(reason, "https://x.example"));
        }
        assert_eq!(details(&mut events).len(), 0);
    }
}
