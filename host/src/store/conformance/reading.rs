//! Listings and counters.

use super::{
    for_each_engine,
    kit::{Engine, START, all_of, lane, new, tenant},
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{Counters, ListQuery, Outcome, State},
};

for_each_engine![
    a_listing_gives_the_newest_first_page_by_page_over_all_channels,
    a_listing_by_state_and_channel_gives_just_those,
    a_listing_by_time_gives_what_was_accepted_then,
    a_listing_never_shows_another_tenant,
    a_limit_is_held_to_its_bounds,
    counters_follow_every_state,
];

async fn ids(store: &Engine, query: &ListQuery) -> Vec<NotificationId> {
    let page = store.list(query.clone()).await.unwrap();
    page.items.into_iter().map(|row| row.id).collect()
}

async fn a_listing_gives_the_newest_first_page_by_page_over_all_channels(store: Engine) {
    let mut wanted = Vec::new();
    for n in 0..11 {
        let lane = lane(1, ["mail", "chat", "sms"][n % 3]);
        wanted.push(store.accept(new(&lane)).await);
    }
    wanted.reverse();
    let mut query = ListQuery { limit: 4, ..all_of(tenant(1)) };
    let mut found = Vec::new();
    loop {
        let page = store.list(query.clone()).await.unwrap();
        assert!(page.items.len() <= 4);
        found.extend(page.items.into_iter().map(|row| row.id));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, wanted);
    let exact = store.list(ListQuery { limit: 11, ..all_of(tenant(1)) }).await.unwrap();
    assert_eq!((exact.items.len(), exact.next), (11, None));
}

async fn a_listing_by_state_and_channel_gives_just_those(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    for lane in [&mail, &chat, &mail, &chat] {
        store.accept(new(lane)).await;
    }
    let dead = [store.take_one(&mail).await, store.take_one(&chat).await];
    for leased in &dead {
        store.end(leased, Outcome::Dead).await;
    }
    let by_state = ListQuery { state: Some(State::Dead), ..all_of(tenant(1)) };
    assert_eq!(ids(&store, &by_state).await, [dead[1].id, dead[0].id]);
    let both = ListQuery { channel: Some(mail.channel.clone()), ..by_state.clone() };
    assert_eq!(ids(&store, &both).await, [dead[0].id]);
    let by_channel = ListQuery { channel: Some(chat.channel), ..all_of(tenant(1)) };
    assert_eq!(ids(&store, &by_channel).await.len(), 2);
    let none = ListQuery { channel: Some("none".parse().unwrap()), ..all_of(tenant(1)) };
    assert!(ids(&store, &none).await.is_empty());
}

async fn a_listing_by_time_gives_what_was_accepted_then(store: Engine) {
    let mail = lane(1, "mail");
    let mut accepted = Vec::new();
    for _ in 0..4 {
        accepted.push(store.accept(new(&mail)).await);
        store.clock.advance_ms(7 * 60_000);
    }
    // The machine's clock may go back: the answer is still right.
    store.clock.advance_ms(-21 * 60_000);
    let back = store.accept(new(&mail)).await;
    let at = |minutes: i64| Some(UnixMs(START.0 + minutes * 60_000));
    let between = |from, to| ListQuery { from, to, ..all_of(tenant(1)) };
    assert_eq!(ids(&store, &between(at(7), at(14))).await, [back, accepted[1]]);
    assert_eq!(ids(&store, &between(at(14), None)).await, [accepted[3], accepted[2]]);
    assert_eq!(ids(&store, &between(None, at(7))).await, [accepted[0]]);
    assert!(ids(&store, &between(at(300), at(400))).await.is_empty());
}

async fn a_listing_never_shows_another_tenant(store: Engine) {
    store.accept(new(&lane(1, "mail"))).await;
    let own = store.accept(new(&lane(2, "mail"))).await;
    assert_eq!(ids(&store, &all_of(tenant(2))).await, [own]);
    assert!(ids(&store, &all_of(tenant(3))).await.is_empty());
}

async fn a_limit_is_held_to_its_bounds(store: Engine) {
    let mail = lane(1, "mail");
    let items = (0..crate::limits::LIST_LIMIT_MAX + 1).map(|_| new(&mail)).collect();
    store.enqueue(items).await.unwrap();
    for (limit, given) in [(0, 1), (usize::MAX, crate::limits::LIST_LIMIT_MAX)] {
        let query = ListQuery { limit, ..all_of(tenant(1)) };
        assert_eq!(ids(&store, &query).await.len(), given);
    }
}

async fn counters_follow_every_state(store: Engine) {
    let mail = lane(1, "mail");
    for _ in 0..6 {
        store.accept(new(&mail)).await;
    }
    store.accept(new(&lane(2, "mail"))).await;
    let leased = store.take(&mail, 4).await;
    store.end(&leased[0], Outcome::Delivered).await;
    store.end(&leased[1], Outcome::Dead).await;
    store.end(&leased[2], Outcome::Retry { due: START, counts: true }).await;
    let queued = ListQuery { state: Some(State::Queued), ..all_of(tenant(1)) };
    let id = ids(&store, &queued).await[0];
    store.cancel(tenant(1), id).await.unwrap();
    let mut wanted =
        Counters { queued: 1, sending: 1, retrying: 1, delivered: 1, dead: 1, cancelled: 1 };
    assert_eq!(store.counters(tenant(1)).await.unwrap(), wanted);
    wanted.queued += 1;
    assert_eq!(store.totals().await.unwrap(), wanted);
    assert_eq!(store.counters(tenant(3)).await.unwrap(), Counters::default());
}
