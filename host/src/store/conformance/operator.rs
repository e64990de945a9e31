//! Taking back and sending again.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, TTL, lane, new, tenant},
};
use crate::{
    ids::NotificationId,
    store::{NewNotification, Outcome, Settled, State},
};

for_each_engine![
    a_cancelled_notification_is_never_leased,
    a_notification_that_is_being_sent_cannot_be_cancelled,
    a_replay_begins_a_new_generation_with_no_attempts,
    a_replay_drops_an_expiry_that_has_passed,
    a_live_notification_is_not_replayed,
    nobody_reaches_another_tenants_notification,
];

async fn a_cancelled_notification_is_never_leased(store: Engine) {
    let mail = lane(1, "mail");
    let (first, second) = (store.accept(new(&mail)).await, store.accept(new(&mail)).await);
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Retry { due: START.after(TTL), counts: true }).await;
    for id in [first, second] {
        assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Cancelled));
        assert_eq!(store.row(tenant(1), id).await.state, State::Cancelled);
    }
    store.clock.advance_ms(60_000);
    assert!(store.take(&mail, 10).await.is_empty());
    assert_eq!(store.ready().await.unwrap(), []);
    assert_eq!(store.totals().await.unwrap().cancelled, 2);
}

async fn a_notification_that_is_being_sent_cannot_be_cancelled(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Sending));
    assert_eq!(store.end(&leased, Outcome::Delivered).await, DONE);
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Delivered));
}

async fn a_replay_begins_a_new_generation_with_no_attempts(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let old = store.take_one(&mail).await;
    store.end(&old, Outcome::Dead).await;
    store.clock.advance_ms(5);
    let _seen = store.hints().take();
    assert_eq!(store.replay(tenant(1), id).await.unwrap(), Some(State::Dead));
    assert!(store.hints().take().contains_key(&mail));
    let row = store.row(tenant(1), id).await;
    assert_eq!((row.state, row.generation, row.attempts), (State::Queued, 1, 0));
    assert_eq!((row.last_error, row.provider_id), (None, None));

    let leased = store.take_one(&mail).await;
    assert_eq!((leased.id, leased.generation, leased.token.attempt), (id, 1, 1));
    assert_eq!(store.end(&old, Outcome::Dead).await, Settled::LeaseLost);
    store.end(&leased, Outcome::Delivered).await;
    let attempts = store.status(tenant(1), id).await.unwrap().unwrap().attempts;
    let numbers: Vec<_> = attempts.iter().map(|(generation, n, _)| (*generation, *n)).collect();
    assert_eq!(numbers, [(0, 1), (1, 1)]);
}

async fn a_replay_drops_an_expiry_that_has_passed(store: Engine) {
    let mail = lane(1, "mail");
    let expires = Some(START.after(TTL));
    let id = store.accept(NewNotification { expires, ..new(&mail) }).await;
    for (later_ms, kept) in [(0, expires), (60_000, None)] {
        store.clock.advance_ms(later_ms);
        let leased = store.take_one(&mail).await;
        store.end(&leased, Outcome::Dead).await;
        store.replay(tenant(1), id).await.unwrap();
        let leased = store.take_one(&mail).await;
        assert_eq!(leased.expires, kept);
        store.end(&leased, Outcome::Release { due: START }).await;
    }
}

async fn a_live_notification_is_not_replayed(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    assert_eq!(store.replay(tenant(1), id).await.unwrap(), Some(State::Queued));
    store.take_one(&mail).await;
    assert_eq!(store.replay(tenant(1), id).await.unwrap(), Some(State::Sending));
    assert_eq!(store.row(tenant(1), id).await.generation, 0);
}

async fn nobody_reaches_another_tenants_notification(store: Engine) {
    let id = store.accept(new(&lane(1, "mail"))).await;
    store.accept(new(&lane(2, "mail"))).await;
    for (tenant, id) in [(tenant(2), id), (tenant(1), NotificationId::generate())] {
        assert_eq!(store.status(tenant, id).await.unwrap(), None);
        assert_eq!(store.cancel(tenant, id).await.unwrap(), None);
        assert_eq!(store.replay(tenant, id).await.unwrap(), None);
    }
    assert_eq!(store.row(tenant(1), id).await.state, State::Queued);
}
