//! Removing dead letters.

use super::{
    for_each_engine,
    kit::{Engine, all_of, group, keyed, lane, new, ordered, tenant},
};
use crate::{
    ids::NotificationId,
    store::{Discarded, Enqueued, EventKind, EventQuery, Lane, Outcome, State},
};

for_each_engine![
    a_dead_letter_goes_with_all_that_belongs_to_it,
    what_is_not_dead_stays,
    a_child_goes_with_its_parent_or_not_at_all,
    a_parent_that_is_over_goes_by_its_own_id,
    the_newest_can_go_and_numbers_rise_on,
    its_key_stays_used,
];

async fn end_next(store: &Engine, lane: &Lane, outcome: Outcome) {
    store.end(&store.take_one(lane).await, outcome).await;
}

async fn discard(store: &Engine, id: NotificationId) -> Option<Discarded> {
    store.discard(tenant(1), id).await.unwrap()
}

/// The notifications and parents of the events of this kind, in their order.
async fn told(store: &Engine, kind: EventKind) -> Vec<NotificationId> {
    let query = EventQuery { tenant: Some(tenant(1)), after: 0, limit: 100 };
    let events = store.events(query).await.unwrap().items;
    events.into_iter().filter(|one| one.kind == kind).filter_map(|one| one.notification).collect()
}

async fn a_dead_letter_goes_with_all_that_belongs_to_it(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    end_next(&store, &mail, Outcome::Dead).await;
    let other = store.accept(new(&mail)).await;
    assert_eq!(store.discard(tenant(2), id).await.unwrap(), None, "it is another tenant's");
    assert_eq!(discard(&store, id).await, Some(Discarded::Gone(1)));
    assert_eq!(store.status(tenant(1), id).await.unwrap(), None);
    let counters = store.counters(tenant(1)).await.unwrap();
    assert_eq!((counters.dead, counters.queued), (0, 1));
    assert_eq!(store.totals().await.unwrap(), counters);
    let listed = store.list(all_of(tenant(1))).await.unwrap().items;
    assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [other]);
    assert_eq!(told(&store, EventKind::Purged).await, [id]);
    assert_eq!(told(&store, EventKind::Dead).await, [id], "what was, stays on record");
    assert_eq!(discard(&store, id).await, None);
    assert_eq!(store.replay(tenant(1), id).await.unwrap(), None);
}

async fn what_is_not_dead_stays(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    assert_eq!(discard(&store, id).await, Some(Discarded::Stays(State::Queued)));
    let leased = store.take_one(&mail).await;
    assert_eq!(discard(&store, id).await, Some(Discarded::Stays(State::Sending)));
    store.end(&leased, Outcome::Delivered).await;
    assert_eq!(discard(&store, id).await, Some(Discarded::Stays(State::Delivered)));
    let taken_back = store.accept(new(&mail)).await;
    store.cancel(tenant(1), taken_back).await.unwrap();
    assert_eq!(discard(&store, taken_back).await, Some(Discarded::Stays(State::Cancelled)));
    let dead = store.accept(ordered(&mail, "k")).await;
    let behind = store.accept(ordered(&mail, "k")).await;
    end_next(&store, &mail, Outcome::Dead).await;
    assert_eq!(discard(&store, dead).await, Some(Discarded::Gone(1)));
    assert_eq!(store.take_one(&mail).await.id, behind, "the line of its key goes on");
    assert_eq!(told(&store, EventKind::Purged).await, [dead]);
}

async fn a_child_goes_with_its_parent_or_not_at_all(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    let item = group(&[&mail, &chat]);
    let (parent, ids) = (item.id, [item.children[0].id, item.children[1].id]);
    assert_eq!(store.enqueue_groups(vec![item.clone()]).await.unwrap(), [Enqueued::Accepted]);
    end_next(&store, &mail, Outcome::Dead).await;
    assert_eq!(discard(&store, ids[0]).await, Some(Discarded::Stays(State::Queued)));
    assert_eq!(discard(&store, parent).await, Some(Discarded::Stays(State::Queued)));
    end_next(&store, &chat, Outcome::Dead).await;
    assert_eq!(discard(&store, ids[1]).await, Some(Discarded::Gone(2)));
    for id in ids {
        assert_eq!(discard(&store, id).await, None);
    }
    assert_eq!(store.parent(tenant(1), parent).await.unwrap(), None);
    assert_eq!(told(&store, EventKind::Purged).await, [ids[0], ids[1], parent]);
    assert_eq!(store.counters(tenant(1)).await.unwrap().dead, 0);
}

async fn a_parent_that_is_over_goes_by_its_own_id(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    for (outcome, goes) in [(Outcome::Dead, true), (Outcome::Delivered, false)] {
        let item = group(&[&mail, &chat]);
        let (parent, child) = (item.id, item.children[0].id);
        assert_eq!(store.enqueue_groups(vec![item]).await.unwrap(), [Enqueued::Accepted]);
        end_next(&store, &mail, outcome).await;
        end_next(&store, &chat, Outcome::Delivered).await;
        let stays = Some(Discarded::Stays(State::Delivered));
        assert_eq!(discard(&store, child).await, stays, "a sibling was delivered");
        let gone = Some(Discarded::Gone(2));
        assert_eq!(discard(&store, parent).await, if goes { gone } else { stays });
        assert_eq!(store.parent(tenant(1), parent).await.unwrap().is_none(), goes);
    }
    assert_eq!(store.counters(tenant(1)).await.unwrap().delivered, 2);
}

async fn the_newest_can_go_and_numbers_rise_on(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    end_next(&store, &mail, Outcome::Dead).await;
    assert_eq!(discard(&store, id).await, Some(Discarded::Gone(1)));
    store.accept(new(&mail)).await;
    assert_eq!(store.take_one(&mail).await.token.seq, 2);
}

async fn its_key_stays_used(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(keyed(&mail, "k", 1)).await;
    end_next(&store, &mail, Outcome::Dead).await;
    assert_eq!(discard(&store, id).await, Some(Discarded::Gone(1)));
    let again = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
    assert_eq!(again, [Enqueued::Duplicate { id, same_body: true }]);
}
