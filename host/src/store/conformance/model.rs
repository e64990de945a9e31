//! A random walk. The engine in memory is the model; after every step the engine on disk must have
//! given the same answer and stand the same. Now and then the disk's one is closed and opened again.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::kit::{START, all_of, attempt, lane, tenant, want};
use crate::{
    clock::{Clock, UnixMs},
    ids::NotificationId,
    store::{
        Attempt, Enqueued, Event, EventQuery, Idempotency, Lane, Leased, ListQuery, NewGroup,
        NewNotification, Outcome, Page, ParentStatus, Priority, Ready, Row, Settle, Settled, State,
        Status, Store, Want, memory::MemoryStore, sqlite::SqliteStore,
    },
};

/// One step. An [`Index`] picks among what the walk has seen so far.
#[derive(Clone, Debug)]
enum Step {
    Enqueue(Vec<Item>),
    Group { item: Item, channels: Vec<usize> },
    Lease { wants: Vec<(u128, usize, usize)>, ttl_ms: u64 },
    Settle(Vec<(Index, How, Option<Follow>)>),
    Cancel(u128, Index),
    Replay(u128, Index),
    Discard(u128, Index),
    List { of: u128, state: Option<u8>, channel: Option<usize>, from_ms: Option<i64>, limit: usize },
    Purge { notifications_ms: i64, events_ms: i64 },
    Advance(i64),
    Reopen,
}

#[derive(Clone, Debug)]
struct Item {
    of: u128,
    channel: usize,
    priority: u8,
    due_ms: i64,
    key: Option<(u8, u8)>,
    repeat: Option<Index>,
    live_max: u64,
    ordering: Option<u8>,
}

/// A follow-up; of the same branch, if there is one.
#[derive(Clone, Debug)]
struct Follow {
    item: Item,
    same_parent: bool,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Delivered,
    Dead(bool),
    Retry(i64, bool),
    Release(i64),
}

const CHANNELS: [&str; 3] = ["mail", "chat", "sms"];
const STATES: [State; 6] = [
    State::Queued,
    State::Sending,
    State::Retrying,
    State::Delivered,
    State::Dead,
    State::Cancelled,
];

fn item() -> impl Strategy<Value = Item> {
    let key = prop::option::weighted(0.4, (0..4_u8, 0..2_u8));
    let repeat = prop::option::weighted(0.1, any::<Index>());
    let ordering = prop::option::weighted(0.4, 0..2_u8);
    (1..4_u128, 0..3_usize, 0..4_u8, -500..3_000_i64, key, repeat, 1..30_u64, ordering).prop_map(
        |(of, channel, priority, due_ms, key, repeat, live_max, ordering)| Item {
            of,
            channel,
            priority,
            due_ms,
            key,
            repeat,
            live_max,
            ordering,
        },
    )
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::Delivered),
        any::<bool>().prop_map(How::Dead),
        (-100..2_000_i64, any::<bool>()).prop_map(|(ms, counts)| How::Retry(ms, counts)),
        (-100..2_000_i64).prop_map(How::Release),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let wants = prop::collection::vec((1..4_u128, 0..3_usize, 0..4_usize), 1..4);
    let query = (
        1..4_u128,
        prop::option::of(0..6_u8),
        prop::option::of(0..3_usize),
        prop::option::of(-2_000_000..2_000_000_i64),
        1..6_usize,
    );
    let follow = prop::option::weighted(
        0.4,
        (item(), any::<bool>()).prop_map(|(item, same_parent)| Follow { item, same_parent }),
    );
    prop_oneof![
        6 => prop::collection::vec(item(), 1..5).prop_map(Step::Enqueue),
        6 => (wants, 1..2_000_u64).prop_map(|(wants, ttl_ms)| Step::Lease { wants, ttl_ms }),
        2 => (item(), prop::collection::vec(0..3_usize, 1..4))
            .prop_map(|(item, channels)| Step::Group { item, channels }),
        6 => prop::collection::vec((any::<Index>(), how(), follow), 1..4).prop_map(Step::Settle),
        1 => (1..4_u128, any::<Index>()).prop_map(|(of, id)| Step::Cancel(of, id)),
        2 => (1..4_u128, any::<Index>()).prop_map(|(of, id)| Step::Replay(of, id)),
        2 => (1..4_u128, any::<Index>()).prop_map(|(of, id)| Step::Discard(of, id)),
        2 => query.prop_map(|(of, state, channel, from_ms, limit)| {
            Step::List { of, state, channel, from_ms, limit }
        }),
        1 => (-2_000..1_000_i64, -2_000..1_000_i64).prop_map(|(notifications_ms, events_ms)| {
            Step::Purge { notifications_ms, events_ms }
        }),
        3 => (0..1_500_i64).prop_map(Step::Advance),
        1 => prop_oneof![Just(700_000_i64), Just(-700_000_i64)].prop_map(Step::Advance),
        1 => Just(Step::Reopen),
    ]
}

fn priority(n: u8) -> Priority {
    match n {
        0 => Priority::Urgent,
        1 => Priority::High,
        2 => Priority::Normal,
        _ => Priority::Low,
    }
}

/// A [`Leased`] as something to compare.
type Told = (
    (crate::store::LeaseToken, NotificationId, Lane, u32, u32),
    (Option<NotificationId>, UnixMs, Option<UnixMs>, Bytes, Priority),
);

fn told(leased: &Leased) -> Told {
    let Leased { token, id, lane, generation, tries, .. } = leased.clone();
    let Leased { parent, created, expires, payload, most_urgent, .. } = leased.clone();
    ((token, id, lane, generation, tries), (parent, created, expires, payload, most_urgent))
}

struct Walk {
    runtime: Runtime,
    clock: Clock,
    memory: Arc<MemoryStore>,
    sqlite: Option<Arc<SqliteStore>>,
    folder: TempDir,
    ids: Vec<NotificationId>,
    leases: Vec<Leased>,
}

impl Walk {
    fn new() -> Self {
        let clock = Clock::manual(START);
        let folder = tempfile::tempdir().unwrap();
        let memory = MemoryStore::new(clock.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (ids, leases) = Default::default();
        let mut walk = Self { runtime, clock, memory, sqlite: None, folder, ids, leases };
        walk.open();
        walk
    }

    fn open(&mut self) {
        self.sqlite = None;
        let path = self.folder.path().join("queue.db");
        self.sqlite = Some(SqliteStore::open_with(&path, self.clock.clone(), 4096).unwrap());
    }

    /// Asks both engines the same and demands the same answer.
    fn both<T: PartialEq + std::fmt::Debug>(&self, ask: impl AsyncFn(&dyn Store) -> T) -> T {
        let sqlite = self.sqlite.as_ref().expect("it is open");
        self.runtime.block_on(async {
            let (wanted, found) = (ask(&*self.memory).await, ask(&**sqlite).await);
            assert_eq!(wanted, found);
            found
        })
    }

    fn new_item(&mut self, item: &Item) -> NewNotification {
        let repeated = item.repeat.filter(|_| !self.ids.is_empty()).map(|at| *at.get(&self.ids));
        let id =
            repeated.unwrap_or_else(|| NotificationId(Uuid::from_u128(self.ids.len() as u128 + 1)));
        self.ids.push(id);
        let idempotency = item.key.map(|(key, body)| Idempotency {
            key: Bytes::copy_from_slice(&[key]),
            body_hash: [body; 32],
            ttl: Duration::from_millis(2_500),
        });
        let now = self.clock.now();
        NewNotification {
            id,
            lane: lane(item.of, CHANNELS[item.channel]),
            priority: priority(item.priority),
            due: UnixMs(now.0 + item.due_ms),
            expires: (item.due_ms > 2_000).then(|| UnixMs(now.0 + item.due_ms + 1_000)),
            idempotency,
            payload: Bytes::from(id.to_string()),
            live_max: item.live_max,
            parent: None,
            ordering_key: item.ordering.map(|key| key.to_string().into()),
        }
    }

    /// A group of one child for each channel, with all else as the item has it.
    fn new_group(&mut self, item: &Item, channels: &[usize]) -> NewGroup {
        let NewNotification { id, lane, idempotency, payload, live_max, .. } = self.new_item(item);
        let child = |channel: &usize| Item { channel: *channel, key: None, ..item.clone() };
        let children = channels.iter().map(child).map(|item| self.new_item(&item)).collect();
        NewGroup { id, tenant: lane.tenant, idempotency, payload, live_max, children }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Enqueue(items) => {
                let items: Vec<_> = items.iter().map(|item| self.new_item(item)).collect();
                let _answers: Vec<Enqueued> =
                    self.both(async |store| store.enqueue(items.clone()).await.unwrap());
            }
            Step::Group { item, channels } => {
                let group = self.new_group(item, channels);
                let _answers: Vec<Enqueued> = self
                    .both(async |store| store.enqueue_groups(vec![group.clone()]).await.unwrap());
            }
            Step::Lease { wants, ttl_ms } => {
                let wants: Vec<Want> = wants
                    .iter()
                    .map(|(of, channel, max)| want(&lane(*of, CHANNELS[*channel]), *max))
                    .collect();
                let ttl = Duration::from_millis(*ttl_ms);
                let leases = std::cell::RefCell::default();
                let _told: Vec<Told> = self.both(async |store| {
                    let leased = store.lease(wants.clone(), ttl).await.unwrap();
                    let told = leased.iter().map(told).collect();
                    *leases.borrow_mut() = leased;
                    told
                });
                self.leases.extend(leases.into_inner());
            }
            Step::Settle(items) => self.settle(items),
            Step::Cancel(of, id) if !self.ids.is_empty() => {
                let id = *id.get(&self.ids);
                self.both(async |store| store.cancel(tenant(*of), id).await.unwrap());
            }
            Step::Replay(of, id) if !self.ids.is_empty() => {
                let id = *id.get(&self.ids);
                self.both(async |store| store.replay(tenant(*of), id).await.unwrap());
            }
            Step::Discard(of, id) if !self.ids.is_empty() => {
                let id = *id.get(&self.ids);
                self.both(async |store| store.discard(tenant(*of), id).await.unwrap());
            }
            Step::Cancel(..) | Step::Replay(..) | Step::Discard(..) => {}
            Step::List { of, state, channel, from_ms, limit } => {
                let query = ListQuery {
                    state: state.map(|n| STATES[usize::from(n)]),
                    channel: channel.map(|n| CHANNELS[n].parse().unwrap()),
                    from: from_ms.map(|ms| UnixMs(START.0 + ms)),
                    to: from_ms.filter(|ms| ms % 2 == 0).map(|ms| UnixMs(START.0 + ms + 900_000)),
                    limit: *limit,
                    ..all_of(tenant(*of))
                };
                self.pages(query);
            }
            Step::Purge { notifications_ms, events_ms } => {
                let ago = |ms: i64| UnixMs(self.clock.now().0 + ms);
                let _removed = self.both(async |store| {
                    let chunk = store.purge(ago(*notifications_ms), 0, 1_000).await.unwrap();
                    let events = store.purge_events(ago(*events_ms), 1_000).await.unwrap();
                    (chunk.removed, events)
                });
            }
            Step::Advance(by_ms) => self.clock.advance_ms(*by_ms),
            // Only with nothing leased: that is what a new incarnation would change.
            Step::Reopen => {
                let all = self.both(async |store| store.totals().await.unwrap());
                if all.sending == 0 {
                    self.open();
                    self.memory.forget_turns();
                }
            }
        }
    }

    fn settle(&mut self, items: &[(Index, How, Option<Follow>)]) {
        if self.leases.is_empty() {
            return;
        }
        let now = self.clock.now();
        let items: Vec<Settle> = items
            .iter()
            .map(|(at, how, follow)| {
                let after = |ms| UnixMs(now.0 + ms);
                let (outcome, record) = match *how {
                    How::Delivered => (Outcome::Delivered, Some(attempt("delivered"))),
                    How::Dead(counts) => {
                        (Outcome::Dead, Some(Attempt { counts, ..attempt("rejected") }))
                    }
                    How::Retry(ms, counts) => {
                        (Outcome::Retry { due: after(ms), counts }, Some(attempt("retry")))
                    }
                    How::Release(ms) => (Outcome::Release { due: after(ms) }, None),
                };
                let Leased { token, parent, .. } = at.get(&self.leases).clone();
                let follow = follow.iter().map(|follow| NewNotification {
                    parent: parent.filter(|_| follow.same_parent),
                    ..self.new_item(&follow.item)
                });
                let follow = follow.collect();
                Settle { token, outcome, attempt: record, follow }
            })
            .collect();
        let _settled: Vec<Settled> =
            self.both(async |store| store.settle(items.clone()).await.unwrap());
    }

    fn pages(&self, mut query: ListQuery) {
        loop {
            let page: Page<Row> = self.both(async |store| store.list(query.clone()).await.unwrap());
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
    }

    /// Everything that can be asked.
    fn compare(&self) {
        let _ready: Vec<Ready> = self.both(async |store| store.ready().await.unwrap());
        let _hints = self.both(async |store| {
            let mut hints: Vec<_> = store.hints().take().into_iter().collect();
            hints.sort_unstable();
            hints
        });
        let _events: Vec<Event> = self.both(async |store| {
            let query = EventQuery { tenant: None, after: 0, limit: 1_000 };
            let events = store.events(query).await.unwrap().items;
            // The model has no chain.
            events.into_iter().map(|event| Event { hash: None, ..event }).collect()
        });
        let _totals = self.both(async |store| store.totals().await.unwrap());
        for of in 1..4 {
            let _counters = self.both(async |store| store.counters(tenant(of)).await.unwrap());
            for id in &self.ids {
                let _status: Option<Status> =
                    self.both(async |store| store.status(tenant(of), *id).await.unwrap());
                let _parent: Option<ParentStatus> =
                    self.both(async |store| store.parent(tenant(of), *id).await.unwrap());
            }
        }
    }
}

proptest! {
    // Few, for every build: a step is a sync. Hundreds of walks were taken when this was written.
    #![proptest_config(ProptestConfig { max_shrink_iters: 2_000, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn the_engine_on_disk_does_what_the_model_does(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut walk = Walk::new();
        for step in &steps {
            walk.take(step);
            walk.compare();
        }
        walk.sqlite = None;
        crate::store::sqlite::check(walk.folder.path());
    }
}
