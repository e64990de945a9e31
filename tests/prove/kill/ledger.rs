//! What the callers were promised, and whether it was kept.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use super::{
    CALLBACKS, CHANNELS, SECOND,
    receiver::{Receiver, Taken},
};
use crate::kit::{KEY_A, TestHost};

/// What a message is made for. It stands in front of its text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Is delivered, after some failures perhaps.
    Plain,
    /// The same, a second later.
    Later,
    /// Is delivered by the plugin that is being swapped.
    Swapped,
    /// Is rejected by the provider.
    Doomed,
    /// Is rejected, and delivered by another channel.
    HandedOn,
    /// Is taken back by its caller.
    Withdrawn,
    /// Goes to two channels.
    Both,
    /// Is delivered after those before it with the same ordering key.
    Ordered,
    /// Is rejected, replayed by its caller, and delivered then.
    Revived,
    /// Is rejected, and purged by its caller.
    Purged,
    /// Is rejected, and purged with a range if it was accepted in one.
    Swept,
    /// Is delivered by the channel whose dead letters are purged by ranges.
    Spared,
}

impl Kind {
    pub(super) const ALL: [(Self, &'static str); 12] = [
        (Self::Plain, "plain"),
        (Self::Later, "later"),
        (Self::Swapped, "swapped"),
        (Self::Doomed, "doomed"),
        (Self::HandedOn, "handed-on"),
        (Self::Withdrawn, "withdrawn"),
        (Self::Both, "both"),
        (Self::Ordered, "ordered"),
        (Self::Revived, "revived"),
        (Self::Purged, "purged"),
        (Self::Swept, "swept"),
        (Self::Spared, "spared"),
    ];

    pub(super) fn of(message: &str) -> Self {
        let word = message.split('/').next().unwrap();
        Self::ALL.iter().find(|(_, name)| *name == word).unwrap().0
    }

    pub(super) fn word(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).unwrap().1
    }

    /// How it must end.
    const fn end(self) -> &'static str {
        match self {
            Self::Plain
            | Self::Later
            | Self::Swapped
            | Self::Both
            | Self::Ordered
            | Self::Revived
            | Self::Spared => "delivered",
            Self::Doomed | Self::HandedOn | Self::Purged | Self::Swept => "dead",
            Self::Withdrawn => "cancelled",
        }
    }
}

/// What a caller has to do.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Hand over this message, with itself as the key.
    HandOver { message: String, body: String },
    /// Hand over these messages at once.
    Batch { messages: Vec<String>, body: String },
    /// Take back.
    Withdraw { id: String },
    /// Send again, once it was given up.
    Replay { id: String },
    /// Remove, once it was given up. `asked`: a call for it may have been answered to nobody.
    Purge { id: String, asked: bool },
    /// Remove what was given up of the channel that is swept, of this slot.
    Sweep { slot: i64 },
}

/// All that was asked and answered over all rounds.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    numbers: AtomicUsize,
    /// Message by id.
    accepted: Mutex<BTreeMap<String, String>>,
    /// Not asked yet, or not answered.
    open: Mutex<VecDeque<Task>>,
    repeated: AtomicUsize,
    /// What purges of ranges said that they removed, and how many of them said nothing.
    swept: AtomicUsize,
    sweeps_unanswered: AtomicUsize,
}

impl Ledger {
    pub(super) fn number(&self) -> usize {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Something that somebody got no answer to, or that is to be done yet, if there is anything.
    pub(super) fn open(&self) -> Option<Task> {
        self.open.lock().unwrap().pop_front()
    }

    /// To be done later, behind what is open.
    pub(super) fn later(&self, task: Task) {
        self.open.lock().unwrap().push_back(task);
    }

    pub(super) fn unanswered(&self, task: Task) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
        if matches!(task, Task::Sweep { .. }) {
            self.sweeps_unanswered.fetch_add(1, Ordering::Relaxed);
        }
        self.later(task);
    }

    /// A key is answered with one id for ever.
    pub(super) fn accepted(&self, id: String, message: &str) {
        let before = self.accepted.lock().unwrap().insert(id.clone(), message.to_owned());
        assert!(before.is_none_or(|before| before == message), "{id} is two messages");
    }

    /// A range was purged, and this is the answer.
    pub(super) fn swept(&self, answer: &Value) {
        assert_eq!(answer["skipped"], 0, "{answer}");
        let purged = usize::try_from(answer["purged"].as_u64().unwrap()).unwrap();
        self.swept.fetch_add(purged, Ordering::Relaxed);
    }

    pub(super) fn summary(&self) -> String {
        let repeated = self.repeated.load(Ordering::Relaxed);
        format!("{} acknowledged, {repeated} asked again", self.accepted.lock().unwrap().len())
    }

    /// Compares everything that was promised with everything that is known.
    pub(super) async fn reconcile(
        self: &Arc<Self>,
        host: &TestHost,
        receiver: &Receiver,
        kills: usize,
    ) -> Found {
        assert!(self.open.lock().unwrap().is_empty(), "somebody has no answer");
        let mut accepted = self.accepted.lock().unwrap().clone();
        let keys: BTreeSet<_> = accepted.values().collect();
        assert_eq!(keys.len(), accepted.len(), "a key made two notifications");
        assert_eq!(keys.len(), self.numbers.load(Ordering::Relaxed), "each call was answered once");
        let mut found = Found { ids: accepted.len(), ..Found::default() };
        let listed = listing(host).await;
        let taken = receiver.taken();

        let mut purged = take_out(&mut accepted, Kind::Purged);
        found.purged(host, &purged, &listed).await;
        let swept = take_out(&mut accepted, Kind::Swept);
        let told = [&self.swept, &self.sweeps_unanswered].map(|it| it.load(Ordering::Relaxed));
        purged.extend(found.swept(host, swept, &mut accepted, &listed, told.into()).await);
        let both = take_out(&mut accepted, Kind::Both);
        let branches = found.both(host, &both, &listed, &taken).await;
        let accepted = first_of_each(host, accepted).await;

        // One notification for each key, and no other.
        let lost: Vec<_> = accepted.iter().filter(|(id, _)| !listed.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), accepted.len());
        let followed = |one: &Listed| [SECOND, CALLBACKS].contains(&one.channel.as_str());
        let asked = |id: &String| accepted.contains_key(id) || branches.contains(id);
        let unasked: Vec<_> =
            listed.iter().filter(|(id, one)| !asked(id) && !followed(one)).collect();
        assert!(unasked.is_empty(), "nobody was told of {unasked:?}");

        for (id, message) in &accepted {
            let answer = host.notification(id).await;
            assert_eq!(answer.status, 200, "{message} is unknown: {answer:?}");
            found.one(message, &answer.json, &listed[id], &taken);
        }
        found.ordered(&listed, &accepted, &receiver.order());
        found.handed_on(host, &listed, &accepted, &taken).await;
        found.told(&listed, &accepted, &purged, &taken);
        found.repeated = self.repeated.load(Ordering::Relaxed);
        found.counters(host, &listed).await;
        // Only what was in flight at a kill can come twice: an instance each of the channels.
        let in_flight = CHANNELS * 16;
        assert!(found.twice <= kills * 2 * in_flight, "{} came twice", found.twice);
        found
    }
}

/// What is of this kind.
fn take_out(accepted: &mut BTreeMap<String, String>, kind: Kind) -> BTreeMap<String, String> {
    let all = std::mem::take(accepted).into_iter();
    let (found, rest) = all.partition(|(_, message)| Kind::of(message) == kind);
    *accepted = rest;
    found
}

/// What may go on in another channel was answered with a parent's id: the notification that was tried
/// first stands for it from here on, and the parent must know both and how it ended.
async fn first_of_each(
    host: &TestHost,
    accepted: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut firsts = BTreeMap::new();
    for (id, message) in accepted {
        let id = if Kind::of(&message) == Kind::HandedOn {
            let parent = host.notification(&id).await;
            assert_eq!(parent.status, 200, "{message} is lost: {parent:?}");
            assert_eq!(parent.json["status"], "delivered", "{parent:?}");
            let branches = parent.json["channels"].as_array().unwrap();
            assert_eq!(branches.len(), 1, "{parent:?}");
            let children = branches[0]["notifications"].as_array().unwrap();
            assert_eq!(children.len(), 2, "it was handed on once: {parent:?}");
            children[0]["id"].as_str().unwrap().to_owned()
        } else {
            id
        };
        firsts.insert(id, message);
    }
    firsts
}

/// A notification in the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) status: String,
    pub(super) channel: String,
    /// 0 is the newest: the order in which they were accepted, backwards.
    pub(super) place: usize,
}

/// Every notification of tenant A, by id, page by page.
async fn listing(host: &TestHost) -> BTreeMap<String, Listed> {
    let mut listed = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/notifications?limit=200&cursor={cursor}");
        let page = host.call("GET", &path).key(KEY_A).send().await;
        assert_eq!(page.status, 200, "{page:?}");
        for item in page.json["items"].as_array().unwrap() {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            let (status, channel) = (text("status"), text("channel"));
            let one = Listed { status, channel, place: listed.len() };
            let twice = listed.insert(text("id"), one);
            assert!(twice.is_none(), "listed twice: {item}");
        }
        match page.json["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return listed,
        }
    }
}

/// The figures of a run.
#[derive(Debug, Default)]
pub(super) struct Found {
    ids: usize,
    repeated: usize,
    /// Attempts that a kill interrupted.
    pub(super) interrupted: usize,
    pub(super) failures: usize,
    /// Successes at the provider beyond the first of a message.
    twice: usize,
    handed_on: usize,
    told: usize,
    pub(super) both: usize,
    pub(super) ordered: usize,
    revived: usize,
    pub(super) purged: usize,
    /// Purged by ranges, and dead in the same channel and outside of each range.
    pub(super) swept: usize,
    pub(super) beside: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ids, repeated, interrupted, failures, twice, handed_on, told, .. } = self;
        let Self { both, ordered, revived, purged, swept, beside, .. } = self;
        write!(
            formatter,
            "{ids} acknowledged ids, 0 lost, {repeated} calls repeated after a kill, {failures} \
             failed attempts, {interrupted} attempts interrupted, {twice} delivered twice (same \
             key), {handed_on} taken over by another channel, {both} to two channels, {ordered} in \
             the order of their keys, {revived} replayed, {purged} purged, {swept} purged by ranges \
             ({beside} beside them kept), {told} callbacks"
        )
    }
}

impl Found {
    fn one(
        &mut self,
        message: &str,
        detail: &Value,
        listed: &Listed,
        taken: &BTreeMap<String, Taken>,
    ) {
        let kind = Kind::of(message);
        let path = match kind {
            Kind::HandedOn => "/first",
            Kind::Ordered => "/ordered",
            Kind::Swept | Kind::Spared => "/swept",
            _ => "/hook",
        };
        let taken = taken.get(&format!("{path} {message}"));
        assert_eq!(detail["message"], message, "{detail}");
        assert_eq!(detail["status"], kind.end(), "{detail}");
        assert_eq!(listed.status, kind.end(), "the list says something else: {detail}");
        let attempts = detail["attempts"].as_array().unwrap();
        // What came before a replay.
        let rejected = usize::from(kind == Kind::Revived);
        let count = |word: &str| attempts.iter().filter(|one| one["outcome"] == word).count();
        let (lost, retried) = (count("lost"), count("retry"));
        self.interrupted += lost;
        self.failures += retried;
        let last = match kind {
            Kind::Withdrawn => {
                assert!(attempts.is_empty() && taken.is_none(), "it was taken back: {detail}");
                return;
            }
            Kind::Doomed | Kind::HandedOn | Kind::Swept => "rejected",
            _ => "delivered",
        };
        assert_eq!(attempts.last().unwrap()["outcome"], last, "{detail}");
        assert_eq!(count(last), 1, "it ended once: {detail}");
        // A connection that was open at a kill may also be seen as one without an answer.
        assert_eq!(lost + retried + count("unknown") + rejected + 1, attempts.len(), "{detail}");
        assert_eq!(detail["replayCount"], rejected, "{detail}");
        if kind == Kind::Revived {
            assert_eq!(count("rejected"), 1, "{detail}");
            self.revived += 1;
        }
        if kind == Kind::Swapped {
            return;
        }
        let taken = taken.unwrap_or_else(|| panic!("never arrived: {detail}"));
        assert_eq!(taken.keys.len(), 1 + rejected, "a key for each series: {taken:?} {detail}");
        if last == "delivered" {
            self.arrived(taken, lost, detail);
        }
    }

    /// It arrived, and more than once only where a kill came between.
    pub(super) fn arrived(&mut self, taken: &Taken, lost: usize, detail: &Value) {
        assert!(taken.successes >= 1, "delivered to nobody: {taken:?} {detail}");
        let twice = taken.successes - 1;
        assert!(twice <= lost, "sent twice without a kill between: {taken:?} {detail}");
        self.twice += twice;
    }

    /// What one channel rejected, the other one has delivered, each once.
    async fn handed_on(
        &mut self,
        host: &TestHost,
        listed: &BTreeMap<String, Listed>,
        accepted: &BTreeMap<String, String>,
        taken: &BTreeMap<String, Taken>,
    ) {
        let mut left: BTreeSet<&String> =
            accepted.values().filter(|message| Kind::of(message) == Kind::HandedOn).collect();
        for (id, one) in listed.iter().filter(|(_, one)| one.channel == SECOND) {
            assert_eq!(one.status, "delivered", "{id}");
            let detail = host.notification(id).await.json;
            let message = detail["message"].as_str().unwrap().to_owned();
            assert!(left.remove(&message), "taken over twice, or by mistake: {detail}");
            let attempts = detail["attempts"].as_array().unwrap();
            let lost = attempts.iter().filter(|one| one["outcome"] == "lost").count();
            self.interrupted += lost;
            let taken = &taken[&format!("/second {message}")];
            assert_eq!(taken.keys.len(), 1, "one delivery key: {taken:?} {detail}");
            self.arrived(taken, lost, &detail);
            self.handed_on += 1;
        }
        assert!(left.is_empty(), "nobody took over: {left:?}");
    }

    /// Of each end somebody was told, under one key, and of nothing else.
    fn told(
        &mut self,
        listed: &BTreeMap<String, Listed>,
        accepted: &BTreeMap<String, String>,
        purged: &BTreeMap<String, String>,
        taken: &BTreeMap<String, Taken>,
    ) {
        let mut expected: BTreeSet<_> =
            purged.keys().map(|id| format!("/told {id} notification.failed")).collect();
        for (id, one) in listed.iter().filter(|(_, one)| one.channel != CALLBACKS) {
            let kind = accepted.get(id).map(|message| Kind::of(message));
            if kind == Some(Kind::Revived) {
                expected.insert(format!("/told {id} notification.failed"));
            }
            let event = match kind {
                Some(Kind::Withdrawn | Kind::HandedOn) => continue,
                _ if one.status == "delivered" => "delivered",
                _ => "failed",
            };
            expected.insert(format!("/told {id} notification.{event}"));
        }
        let told: BTreeSet<_> =
            taken.keys().filter(|what| what.starts_with("/told ")).cloned().collect();
        let missing: Vec<_> = expected.difference(&told).collect();
        assert!(missing.is_empty(), "{} callbacks are lost: {missing:?}", missing.len());
        let wrong: Vec<_> = told.difference(&expected).collect();
        assert!(wrong.is_empty(), "told of what was not: {wrong:?}");
        assert!(told.iter().all(|what| taken[what].keys.len() == 1), "one key for each callback");
        let callbacks: Vec<_> = listed.values().filter(|one| one.channel == CALLBACKS).collect();
        assert_eq!(callbacks.len(), told.len(), "one callback for each end");
        assert!(callbacks.iter().all(|one| one.status == "delivered"), "all are delivered");
        self.told = told.len();
    }

    /// The counters that are kept say what counting says.
    async fn counters(&self, host: &TestHost, listed: &BTreeMap<String, Listed>) {
        for state in ["queued", "sending", "retrying", "delivered", "dead", "cancelled"] {
            let counted = listed.values().filter(|one| one.status == state).count();
            let name = format!("conductor_queue_notifications{{state=\"{state}\"}}");
            let kept = host.metric(&name).await;
            assert_eq!(kept, f64::from(u32::try_from(counted).unwrap()), "{state}");
        }
    }
}
