//! A wall clock that is set forward or back: nothing is lost, nothing is stuck for longer than the
//! step, and a lease that was overtaken cannot settle.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, TTL, keyed, lane, new, ordered, tenant},
};
use crate::store::{Enqueued, Outcome, Settled, State};

for_each_engine![
    a_step_forward_ends_leases_early_and_loses_nothing,
    a_step_back_delays_by_the_step_at_most,
    what_is_accepted_after_a_step_back_is_due_at_once,
    keys_are_remembered_over_a_step_back,
];

const HOUR_MS: i64 = 3_600_000;

async fn a_step_forward_ends_leases_early_and_loses_nothing(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let first = store.take_one(&mail).await;
    store.clock.advance_ms(HOUR_MS);
    // While nobody else has the job, what was done counts.
    assert_eq!(store.end(&first, Outcome::Retry { due: START, counts: true }).await, DONE);
    let second = store.take_one(&mail).await;
    store.clock.advance_ms(HOUR_MS);
    let third = store.take_one(&mail).await;
    assert_eq!(store.end(&second, Outcome::Delivered).await, Settled::LeaseLost);
    assert_eq!(store.end(&third, Outcome::Delivered).await, DONE);
    let status = store.status(tenant(1), id).await.unwrap().unwrap();
    let told: Vec<_> = status.attempts.iter().map(|(_, _, one)| &*one.outcome).collect();
    assert_eq!((status.row.state, told), (State::Delivered, vec!["retry", "lost", "delivered"]));
}

async fn a_step_back_delays_by_the_step_at_most(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(new(&mail)).await;
    store.accept(ordered(&mail, "k")).await;
    store.accept(ordered(&mail, "k")).await;
    let leased = store.take(&mail, 1).await;
    store.clock.advance_ms(-HOUR_MS);
    // A lease that is held settles as ever, and the retry has its place in the new time.
    let due = store.clock.now().after(TTL);
    assert_eq!(store.end(&leased[0], Outcome::Retry { due, counts: true }).await, DONE);
    assert!(store.take(&mail, 9).await.is_empty());
    store.clock.advance_ms(30_000);
    assert_eq!(store.take(&mail, 9).await.len(), 1, "the retry");
    store.clock.advance_ms(HOUR_MS - 30_000);
    let mut sent = 0;
    loop {
        let leased = store.take(&mail, 9).await;
        if leased.is_empty() {
            break;
        }
        for leased in &leased {
            assert_eq!(store.end(leased, Outcome::Delivered).await, DONE);
            sent += 1;
        }
    }
    // The lease of the retry has run out meanwhile, and it was sent again.
    assert_eq!(sent, 3);
    assert_eq!(store.totals().await.unwrap().live(), 0);
}

async fn what_is_accepted_after_a_step_back_is_due_at_once(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(new(&mail)).await;
    store.clock.advance_ms(-HOUR_MS);
    let due = store.clock.now();
    let id = store.accept(crate::store::NewNotification { due, ..new(&mail) }).await;
    let leased = store.take_one(&mail).await;
    assert_eq!(leased.id, id);
    assert_eq!(store.end(&leased, Outcome::Delivered).await, DONE);
    assert!(store.take(&mail, 9).await.is_empty());
    store.clock.advance_ms(HOUR_MS);
    assert_eq!(store.take(&mail, 9).await.len(), 1);
}

async fn keys_are_remembered_over_a_step_back(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(keyed(&mail, "k", 1)).await;
    for step in [HOUR_MS, -2 * HOUR_MS, HOUR_MS] {
        store.clock.advance_ms(step);
        let again = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
        assert_eq!(again, [Enqueued::Duplicate { id, same_body: true }]);
    }
}
