//! Follow-ups, and attempts that do not count.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, TTL, keyed, lane, new, settle, tenant},
};
use crate::store::{NewNotification, Outcome, Settle, Settled, State};

for_each_engine![
    a_follow_up_is_accepted_with_the_settle_whatever_the_quota,
    a_follow_up_of_a_lost_lease_is_not_accepted,
    a_follow_up_that_is_known_is_left_out,
    a_follow_up_of_a_release_or_a_retry_is_accepted_too,
    an_attempt_that_does_not_count_is_on_record_and_burns_no_try,
    an_attempt_that_was_lost_counts,
];

async fn a_follow_up_is_accepted_with_the_settle_whatever_the_quota(store: Engine) {
    let (mail, hook) = (lane(1, "mail"), lane(1, "hook"));
    let id = store.accept(NewNotification { live_max: 1, ..new(&mail) }).await;
    let leased = store.take_one(&mail).await;
    let follow: Vec<_> = (0..2).map(|_| NewNotification { live_max: 0, ..new(&hook) }).collect();
    let ids: Vec<_> = follow.iter().map(|item| item.id).collect();
    let _seen = store.hints().take();
    let item = Settle { follow, ..settle(&leased, Outcome::Dead) };
    assert_eq!(store.settle(vec![item]).await.unwrap(), [DONE]);
    assert!(store.hints().take().contains_key(&hook));
    assert_eq!(store.row(tenant(1), id).await.state, State::Dead);
    let taken = store.take(&hook, 9).await;
    assert_eq!(taken.iter().map(|leased| leased.id).collect::<Vec<_>>(), ids);
    assert_eq!(store.totals().await.unwrap().live(), 2);
}

async fn a_follow_up_of_a_lost_lease_is_not_accepted(store: Engine) {
    let (mail, hook) = (lane(1, "mail"), lane(1, "hook"));
    store.accept(new(&mail)).await;
    let old = store.take_one(&mail).await;
    store.clock.advance_ms(30_000);
    store.take_one(&mail).await;
    let item = Settle { follow: vec![new(&hook)], ..settle(&old, Outcome::Dead) };
    assert_eq!(store.settle(vec![item]).await.unwrap(), [Settled::LeaseLost]);
    assert!(store.take(&hook, 9).await.is_empty());
    assert_eq!(store.totals().await.unwrap().live(), 1);
}

async fn a_follow_up_that_is_known_is_left_out(store: Engine) {
    let (mail, hook) = (lane(1, "mail"), lane(1, "hook"));
    let known = new(&hook);
    store.accept(known.clone()).await;
    store.accept(keyed(&hook, "k", 1)).await;
    store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    let follow = vec![known, keyed(&hook, "k", 1), keyed(&hook, "other", 1)];
    let item = Settle { follow, ..settle(&leased, Outcome::Delivered) };
    assert_eq!(store.settle(vec![item]).await.unwrap(), [DONE]);
    assert_eq!(store.take(&hook, 9).await.len(), 3);
}

async fn a_follow_up_of_a_release_or_a_retry_is_accepted_too(store: Engine) {
    let (mail, hook) = (lane(1, "mail"), lane(1, "hook"));
    store.accept(new(&mail)).await;
    for outcome in [
        Outcome::Release { due: START },
        Outcome::Retry { due: START, counts: true },
        Outcome::Retry { due: START, counts: false },
    ] {
        let leased = store.take_one(&mail).await;
        let item = Settle { follow: vec![new(&hook)], ..settle(&leased, outcome) };
        store.settle(vec![item]).await.unwrap();
    }
    assert_eq!(store.take(&hook, 9).await.len(), 3);
}

async fn an_attempt_that_does_not_count_is_on_record_and_burns_no_try(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let steps = [
        (Outcome::Retry { due: START, counts: false }, 0),
        (Outcome::Retry { due: START, counts: true }, 0),
        (Outcome::Release { due: START }, 1),
        (Outcome::Retry { due: START, counts: false }, 1),
        (Outcome::Retry { due: START, counts: true }, 1),
        (Outcome::Dead, 2),
    ];
    let mut last = 0;
    for (outcome, tries) in steps {
        let released = matches!(outcome, Outcome::Release { .. });
        let leased = store.take_one(&mail).await;
        assert_eq!(leased.tries, tries);
        assert_eq!(leased.token.attempt, last + 1, "every attempt has its number");
        last = if released { last } else { leased.token.attempt };
        store.end(&leased, outcome).await;
    }
    let status = store.status(tenant(1), id).await.unwrap().unwrap();
    let numbers: Vec<_> = status.attempts.iter().map(|(_, number, _)| *number).collect();
    assert_eq!((numbers, status.row.attempts), (vec![1, 2, 3, 4, 5], 5));

    store.replay(tenant(1), id).await.unwrap();
    assert_eq!(store.take_one(&mail).await.tries, 0);
}

async fn an_attempt_that_was_lost_counts(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Retry { due: START, counts: false }).await;
    assert_eq!(store.take_one(&mail).await.tries, 0);
    store.clock.advance_ms(i64::try_from(TTL.as_millis()).unwrap());
    let again = store.take_one(&mail).await;
    assert_eq!((again.tries, again.token.attempt), (1, 3));
}
