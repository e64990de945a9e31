//! Ordering keys: one after the other, whatever becomes of the one before.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, TTL, lane, new, ordered, tenant},
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{Lane, NewNotification, Outcome, Priority, Ready, Settle, State},
};

for_each_engine![
    notifications_of_a_key_go_one_after_the_other,
    a_first_one_that_is_retried_holds_the_others_up,
    keys_and_lanes_do_not_wait_for_each_other,
    a_cancelled_one_lets_the_next_one_go,
    the_next_one_is_not_sent_before_its_own_time,
    a_replayed_one_goes_behind_the_others,
    a_follow_up_stands_in_line_as_well,
    those_that_wait_count_as_live_and_say_for_whom,
];

async fn three(store: &Engine, lane: &Lane) -> [NotificationId; 3] {
    let mut ids = Vec::new();
    // Urgent ones do not overtake: the key's order is the order in which they were accepted.
    for priority in [Priority::Low, Priority::Normal, Priority::Urgent] {
        ids.push(store.accept(NewNotification { priority, ..ordered(lane, "k") }).await);
    }
    ids.try_into().unwrap()
}

async fn notifications_of_a_key_go_one_after_the_other(store: Engine) {
    let mail = lane(1, "mail");
    let ids = three(&store, &mail).await;
    for (id, outcome) in
        ids.into_iter().zip([Outcome::Delivered, Outcome::Dead, Outcome::Delivered])
    {
        let leased = store.take(&mail, 9).await;
        assert_eq!(leased.iter().map(|leased| leased.id).collect::<Vec<_>>(), [id]);
        let _seen = store.hints().take();
        assert_eq!(store.end(&leased[0], outcome).await, DONE);
        let last = id == ids[2];
        assert_eq!(store.hints().take().contains_key(&mail), !last, "the next one is hinted");
    }
    assert!(store.take(&mail, 9).await.is_empty());
    assert_eq!(store.totals().await.unwrap().live(), 0);
}

async fn a_first_one_that_is_retried_holds_the_others_up(store: Engine) {
    let mail = lane(1, "mail");
    let ids = three(&store, &mail).await;
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Retry { due: START.after(TTL), counts: true }).await;
    assert!(store.take(&mail, 9).await.is_empty());
    store.clock.advance_ms(30_000);
    let leased = store.take_one(&mail).await;
    assert_eq!(leased.id, ids[0]);
    store.end(&leased, Outcome::Release { due: START }).await;
    let leased = store.take_one(&mail).await;
    assert_eq!(leased.id, ids[0]);
    store.end(&leased, Outcome::Delivered).await;
    assert_eq!(store.take_one(&mail).await.id, ids[1]);
}

async fn keys_and_lanes_do_not_wait_for_each_other(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    for item in [ordered(&mail, "a"), ordered(&mail, "b"), new(&mail), ordered(&chat, "a")] {
        store.accept(item).await;
    }
    store.accept(ordered(&mail, "a")).await;
    assert_eq!(store.take(&mail, 9).await.len(), 3);
    assert_eq!(store.take(&chat, 9).await.len(), 1);
}

async fn a_cancelled_one_lets_the_next_one_go(store: Engine) {
    let mail = lane(1, "mail");
    let ids = three(&store, &mail).await;
    let _seen = store.hints().take();
    for id in [ids[1], ids[0]] {
        assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Cancelled));
    }
    assert!(store.hints().take().contains_key(&mail));
    assert_eq!(store.take_one(&mail).await.id, ids[2]);
}

async fn the_next_one_is_not_sent_before_its_own_time(store: Engine) {
    let mail = lane(1, "mail");
    let first = store.accept(ordered(&mail, "k")).await;
    store.accept(NewNotification { due: START.after(TTL), ..ordered(&mail, "k") }).await;
    store.accept(ordered(&mail, "k")).await;
    store.clock.advance_ms(5);
    store.cancel(tenant(1), first).await.unwrap();
    assert!(store.take(&mail, 9).await.is_empty());
    let ready = [Ready { lane: mail.clone(), priority: Priority::Normal, due: START.after(TTL) }];
    assert_eq!(store.ready().await.unwrap(), ready);
    store.clock.advance_ms(30_000);
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Delivered).await;
    // What was due long ago is due now: its wait was not the clock's doing.
    let ready =
        [Ready { lane: mail.clone(), priority: Priority::Normal, due: UnixMs(START.0 + 30_005) }];
    assert_eq!(store.ready().await.unwrap(), ready);
}

async fn a_replayed_one_goes_behind_the_others(store: Engine) {
    let mail = lane(1, "mail");
    let ids = three(&store, &mail).await;
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Dead).await;
    store.replay(tenant(1), ids[0]).await.unwrap();
    for id in [ids[1], ids[2], ids[0]] {
        let leased = store.take_one(&mail).await;
        assert_eq!(leased.id, id);
        assert!(store.take(&mail, 9).await.is_empty());
        store.end(&leased, Outcome::Delivered).await;
    }
    store.replay(tenant(1), ids[1]).await.unwrap();
    assert_eq!(store.take_one(&mail).await.id, ids[1]);
}

async fn a_follow_up_stands_in_line_as_well(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    let first = store.accept(ordered(&chat, "k")).await;
    store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    let follow = vec![ordered(&chat, "k")];
    let second = follow[0].id;
    let item = Settle { follow, ..super::kit::settle(&leased, Outcome::Dead) };
    store.settle(vec![item]).await.unwrap();
    let leased = store.take(&chat, 9).await;
    assert_eq!(leased.iter().map(|leased| leased.id).collect::<Vec<_>>(), [first]);
    store.end(&leased[0], Outcome::Delivered).await;
    assert_eq!(store.take_one(&chat).await.id, second);
}

async fn those_that_wait_count_as_live_and_say_for_whom(store: Engine) {
    let mail = lane(1, "mail");
    let ids = three(&store, &mail).await;
    assert_eq!(store.counters(tenant(1)).await.unwrap().queued, 3);
    let blocked_by = async |id| store.status(tenant(1), id).await.unwrap().unwrap().blocked_by;
    assert_eq!(blocked_by(ids[0]).await, None);
    assert_eq!(blocked_by(ids[1]).await, Some(ids[0]));
    assert_eq!(blocked_by(ids[2]).await, Some(ids[0]));
    let leased = store.take_one(&mail).await;
    assert_eq!((blocked_by(ids[0]).await, blocked_by(ids[2]).await), (None, Some(ids[0])));
    store.end(&leased, Outcome::Dead).await;
    assert_eq!((blocked_by(ids[0]).await, blocked_by(ids[1]).await), (None, None));
    assert_eq!(blocked_by(ids[2]).await, Some(ids[1]));
}
