//! Urgent jobs go first, and none waits behind them for ever.

use super::{
    for_each_engine,
    kit::{Engine, START, lane, new},
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    limits::LANE_TURNS,
    store::{NewNotification, Outcome, Priority},
};

for_each_engine![
    a_job_that_waits_behind_urgent_ones_gets_its_turn,
    an_urgent_job_goes_ahead_of_whatever_waits,
    what_went_by_age_says_that_urgent_ones_are_left,
    lanes_lease_by_the_rule_whatever_is_due_and_however_many_are_asked_for,
];

/// Due so long ago.
fn due(priority: Priority, ms_ago: i64, mail: &crate::store::Lane) -> NewNotification {
    NewNotification { priority, due: UnixMs(START.0 - ms_ago), ..new(mail) }
}

async fn a_job_that_waits_behind_urgent_ones_gets_its_turn(store: Engine) {
    let mail = lane(1, "mail");
    let low = store.accept(due(Priority::Low, 500, &mail)).await;
    // There are always more of them, and the lease that is asked for is always one.
    for before in 0..LANE_TURNS {
        for _ in 0..2 {
            store.accept(due(Priority::Urgent, 0, &mail)).await;
        }
        let leased = store.take_one(&mail).await;
        assert_eq!(leased.id == low, before == LANE_TURNS - 1, "behind {before} urgent ones");
        store.end(&leased, Outcome::Delivered).await;
    }
}

async fn an_urgent_job_goes_ahead_of_whatever_waits(store: Engine) {
    let mail = lane(1, "mail");
    for n in 0..40 {
        store.accept(due(Priority::Low, 100 - n, &mail)).await;
    }
    store.take(&mail, 20).await;
    let urgent = store.accept(due(Priority::Urgent, 0, &mail)).await;
    assert_eq!(store.take_one(&mail).await.id, urgent);
}

async fn what_went_by_age_says_that_urgent_ones_are_left(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(due(Priority::Low, 500, &mail)).await;
    for _ in 0..20 {
        store.accept(due(Priority::Urgent, 0, &mail)).await;
    }
    let leased = store.take(&mail, LANE_TURNS).await;
    let last = leased.last().unwrap();
    assert_eq!((last.token.priority, last.most_urgent), (Priority::Low, Priority::Urgent));
}

/// The rule once more, over a plain list.
fn next(
    jobs: &mut Vec<(Priority, UnixMs, usize, NotificationId)>,
    ahead: &mut usize,
) -> NotificationId {
    let urgent = jobs.iter().enumerate().min_by_key(|(_, job)| (job.0, job.1, job.2)).unwrap().0;
    let oldest = jobs.iter().enumerate().min_by_key(|(_, job)| (job.1, job.2)).unwrap().0;
    let takes = if *ahead + 1 >= LANE_TURNS { oldest } else { urgent };
    *ahead = if takes == oldest { 0 } else { *ahead + 1 };
    jobs.remove(takes).3
}

async fn lanes_lease_by_the_rule_whatever_is_due_and_however_many_are_asked_for(store: Engine) {
    let mut chances = fastrand::Rng::with_seed(7);
    for n in 1..=6 {
        let mail = lane(n, "mail");
        let (mut jobs, mut ahead, mut number) = (Vec::new(), 0, 0);
        for _ in 0..12 {
            for _ in 0..chances.usize(0..24) {
                // Often all of one or two kinds, so that a whole lease can be of one.
                let of = Priority::ALL[chances.usize(0..4).min(chances.usize(0..4))];
                let item = due(of, chances.i64(0..50), &mail);
                number += 1;
                jobs.push((of, item.due, number, store.accept(item).await));
            }
            let max = chances.usize(0..40);
            let leased: Vec<_> = store.take(&mail, max).await.iter().map(|it| it.id).collect();
            let wanted: Vec<_> =
                (0..max.min(jobs.len())).map(|_| next(&mut jobs, &mut ahead)).collect();
            assert_eq!(leased, wanted);
        }
    }
}
