//! Retention.

use super::{
    for_each_engine,
    kit::{Engine, START, all_of, group, keyed, lane, new, tenant},
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{Counters, Enqueued, EventQuery, NewNotification, Outcome, State},
};

for_each_engine![
    what_is_over_for_long_enough_goes_with_all_that_belongs_to_it,
    what_is_live_or_young_stays,
    the_children_of_a_parent_go_together,
    the_oldest_events_go_and_the_others_stay,
    keys_outlive_what_they_were_used_for,
];

async fn purge(store: &Engine, before: UnixMs) -> usize {
    let (mut removed, mut after) = (0, 0);
    loop {
        let chunk = store.purge(before, after, 2).await.unwrap();
        removed += chunk.removed;
        let Some(next) = chunk.next else { return removed };
        after = next;
    }
}

async fn known(store: &Engine) -> Vec<NotificationId> {
    let listed = store.list(all_of(tenant(1))).await.unwrap();
    listed.items.into_iter().map(|row| row.id).collect()
}

const fn later(ms: i64) -> UnixMs {
    UnixMs(START.0 + ms)
}

async fn what_is_over_for_long_enough_goes_with_all_that_belongs_to_it(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(store.accept(new(if n % 2 == 0 { &mail } else { &chat })).await);
    }
    for lane in [&mail, &chat] {
        for leased in store.take(lane, 9).await {
            store.end(&leased, Outcome::Delivered).await;
        }
    }
    store.clock.advance_ms(1_000);
    let last = store.accept(new(&mail)).await;
    assert_eq!(purge(&store, START).await, 0, "nothing is from before");
    assert_eq!(purge(&store, later(1)).await, 9);
    assert_eq!(known(&store).await, [last]);
    assert_eq!(store.status(tenant(1), ids[0]).await.unwrap(), None);
    assert_eq!(store.replay(tenant(1), ids[0]).await.unwrap(), None);
    let wanted = Counters { queued: 1, ..Counters::default() };
    assert_eq!(store.counters(tenant(1)).await.unwrap(), wanted);
    assert_eq!(store.totals().await.unwrap(), wanted);
    assert_eq!(store.take(&mail, 9).await.len(), 1);
}

async fn what_is_live_or_young_stays(store: Engine) {
    let mail = lane(1, "mail");
    let due = later(100_000);
    let queued = store.accept(NewNotification { due, ..new(&mail) }).await;
    for _ in 0..3 {
        store.accept(new(&mail)).await;
    }
    let leased = store.take(&mail, 9).await;
    store.end(&leased[0], Outcome::Retry { due, counts: true }).await;
    store.clock.advance_ms(5_000);
    store.end(&leased[1], Outcome::Dead).await;
    store.clock.advance_ms(5_000);
    // The newest stays in any case.
    let newest = store.accept(new(&mail)).await;
    store.cancel(tenant(1), newest).await.unwrap();
    store.clock.advance_ms(5_000);
    assert_eq!(purge(&store, later(5_000)).await, 0);
    assert_eq!(purge(&store, later(15_000)).await, 1);
    let mut left = vec![queued, leased[0].id, leased[2].id, newest];
    left.reverse();
    assert_eq!(known(&store).await, left);
    assert_eq!(store.row(tenant(1), leased[2].id).await.state, State::Sending);
    assert_eq!(store.end(&leased[2], Outcome::Delivered).await, super::kit::DONE);
}

async fn the_children_of_a_parent_go_together(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    let item = group(&[&mail, &chat]);
    let id = item.id;
    assert_eq!(store.enqueue_groups(vec![item]).await.unwrap(), [Enqueued::Accepted]);
    store.accept(new(&mail)).await;
    let leased = store.take(&mail, 1).await;
    store.end(&leased[0], Outcome::Delivered).await;
    store.clock.advance_ms(5_000);
    assert_eq!(purge(&store, later(1_000)).await, 0);
    store.end(&store.take_one(&chat).await, Outcome::Delivered).await;
    store.clock.advance_ms(5_000);
    assert_eq!(purge(&store, later(1_000)).await, 0);
    assert_eq!(store.parent(tenant(1), id).await.unwrap().unwrap().children.len(), 2);
    assert_eq!(purge(&store, later(10_000)).await, 2);
    // A parent goes with the next round, if its children were in another chunk.
    purge(&store, later(10_000)).await;
    assert_eq!(store.parent(tenant(1), id).await.unwrap(), None);
}

async fn the_oldest_events_go_and_the_others_stay(store: Engine) {
    let mail = lane(1, "mail");
    for _ in 0..4 {
        store.accept(new(&mail)).await;
        store.clock.advance_ms(1_000);
    }
    let query = EventQuery { tenant: None, after: 0, limit: 10 };
    let seqs = async || {
        let page = store.events(query).await.unwrap();
        page.items.iter().map(|event| event.seq).collect::<Vec<_>>()
    };
    assert_eq!(store.purge_events(START, 10).await.unwrap(), 0);
    assert_eq!(store.purge_events(later(1_500), 10).await.unwrap(), 2);
    assert_eq!(seqs().await, [3, 4]);
    assert_eq!(store.purge_events(later(9_000), 10).await.unwrap(), 2);
    store.accept(new(&mail)).await;
    assert_eq!(seqs().await, [5], "numbers go on");
}

async fn keys_outlive_what_they_were_used_for(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(keyed(&mail, "k", 1)).await;
    store.end(&store.take_one(&mail).await, Outcome::Delivered).await;
    store.accept(new(&mail)).await;
    store.clock.advance_ms(1_000);
    assert_eq!(purge(&store, later(1_000)).await, 1);
    let again = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
    assert_eq!(again, [Enqueued::Duplicate { id, same_body: true }]);
    store.clock.advance_ms(40 * 3_600_000);
    purge(&store, later(1_000)).await;
    store.accept(keyed(&mail, "k", 1)).await;
}
