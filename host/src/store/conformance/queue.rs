//! Accepting, leasing, settling.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, TTL, attempt, keyed, lane, new, settle, tenant, want},
};
use crate::store::{
    Attempt, Counters, Enqueued, Hint, Lane, NewNotification, Outcome, Priority, Ready, Settle,
    Settled, State, StoreError,
};

for_each_engine![
    what_is_accepted_can_be_leased_settled_and_read,
    a_lane_gives_urgent_jobs_first_and_then_those_due_first,
    a_lease_takes_only_from_the_lanes_asked_for_and_no_more_than_asked_for,
    a_job_is_not_leased_before_it_is_due,
    a_leased_job_is_not_leased_again_until_its_lease_runs_out,
    an_attempt_whose_lease_ran_out_is_recorded_as_lost,
    a_settle_after_the_lease_ran_out_counts_while_nobody_else_has_the_job,
    settling_twice_loses_the_second_time_and_changes_nothing,
    an_old_token_does_not_settle_a_retry_that_is_due_when_its_lease_would_have_ended,
    a_release_gives_the_attempt_back_and_leaves_no_record,
    a_retry_waits_until_it_is_due_and_keeps_what_the_failure_said,
    the_attempt_that_ends_it_counts_if_its_record_says_so,
    the_same_key_is_accepted_once_and_tells_another_body_apart,
    the_same_key_twice_in_one_call_is_accepted_once,
    the_same_key_of_another_tenant_is_another_key,
    a_key_is_forgotten_after_its_time,
    a_hundred_parallel_calls_with_one_key_give_one_notification,
    repeating_an_id_is_no_second_notification,
    a_tenant_at_its_quota_is_refused_and_others_are_not,
    a_finished_notification_makes_room_in_the_quota,
    ready_names_every_lane_with_a_job_and_when_its_first_is_due,
    hints_name_the_lanes_that_got_work,
    leasing_from_an_unknown_lane_gives_nothing,
];

async fn what_is_accepted_can_be_leased_settled_and_read(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    assert_eq!(store.row(tenant(1), id).await.state, State::Queued);

    let leased = store.take_one(&mail).await;
    assert_eq!((leased.id, leased.token.attempt, leased.generation), (id, 1, 0));
    assert_eq!(leased.token.due, START.after(TTL));
    assert_eq!((leased.created, &leased.payload[..]), (START, &b"hello"[..]));
    let row = store.row(tenant(1), id).await;
    assert_eq!((row.state, row.attempts), (State::Sending, 1));

    store.clock.advance_ms(250);
    assert_eq!(store.end(&leased, Outcome::Delivered).await, DONE);
    let status = store.status(tenant(1), id).await.unwrap().unwrap();
    assert_eq!(status.row.state, State::Delivered);
    assert_eq!(status.row.provider_id.as_deref(), Some("provider-1"));
    assert_eq!(status.row.updated.0 - status.row.created.0, 250);
    assert_eq!((status.due, status.row.last_error), (None, None));
    assert_eq!(status.attempts, [(0, 1, attempt("delivered"))]);
    assert_eq!(store.ready().await.unwrap(), []);
    let counters = Counters { delivered: 1, ..Counters::default() };
    assert_eq!(store.counters(tenant(1)).await.unwrap(), counters);
}

async fn a_lane_gives_urgent_jobs_first_and_then_those_due_first(store: Engine) {
    let mail = lane(1, "mail");
    let at = |priority, ms_ago| NewNotification {
        priority,
        due: crate::clock::UnixMs(START.0 - ms_ago),
        ..new(&mail)
    };
    let mut wanted = Vec::new();
    for (place, item) in [
        (4, at(Priority::Low, 500)),
        (2, at(Priority::Normal, 10)),
        (0, at(Priority::Urgent, 0)),
        (3, at(Priority::Normal, 5)),
        (1, at(Priority::High, 0)),
    ] {
        wanted.push((place, store.accept(item).await));
    }
    wanted.sort_unstable();
    let leased = store.take(&mail, 10).await;
    let ids: Vec<_> = leased.iter().map(|leased| leased.id).collect();
    assert_eq!(ids, wanted.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

async fn a_lease_takes_only_from_the_lanes_asked_for_and_no_more_than_asked_for(store: Engine) {
    let (mail, chat, other) = (lane(1, "mail"), lane(1, "chat"), lane(2, "mail"));
    for lane in [&mail, &chat, &other] {
        for _ in 0..3 {
            store.accept(new(lane)).await;
        }
    }
    let leased = store.lease(vec![want(&chat, 2), want(&other, 1)], TTL).await.unwrap();
    let lanes: Vec<_> = leased.into_iter().map(|leased| leased.lane).collect();
    assert_eq!(lanes, [chat.clone(), chat, other]);
    assert_eq!(store.take(&mail, 0).await.len(), 0);
}

async fn a_job_is_not_leased_before_it_is_due(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(NewNotification { due: START.after(TTL), ..new(&mail) }).await;
    store.clock.advance_ms(29_999);
    assert!(store.take(&mail, 1).await.is_empty());
    store.clock.advance_ms(1);
    assert_eq!(store.take(&mail, 1).await.len(), 1);
}

async fn a_leased_job_is_not_leased_again_until_its_lease_runs_out(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(new(&mail)).await;
    let first = store.take_one(&mail).await;
    store.clock.advance_ms(29_999);
    assert!(store.take(&mail, 1).await.is_empty());
    store.clock.advance_ms(1);
    let second = store.take_one(&mail).await;
    assert_eq!((first.token.attempt, second.token.attempt), (1, 2));
    assert_eq!(store.end(&first, Outcome::Delivered).await, Settled::LeaseLost);
    assert_eq!(store.row(tenant(1), first.id).await.state, State::Sending);
    assert_eq!(store.end(&second, Outcome::Delivered).await, DONE);
}

async fn an_attempt_whose_lease_ran_out_is_recorded_as_lost(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    store.clock.advance_ms(5);
    store.take_one(&mail).await;
    store.clock.advance_ms(40_000);
    let second = store.take_one(&mail).await;
    store.end(&second, Outcome::Delivered).await;
    let attempts = store.status(tenant(1), id).await.unwrap().unwrap().attempts;
    let told: Vec<_> = attempts.iter().map(|(_, n, attempt)| (*n, &*attempt.outcome)).collect();
    assert_eq!(told, [(1, "lost"), (2, "delivered")]);
    assert_eq!((attempts[0].2.started.0 - START.0, attempts[0].2.took_ms), (5, 40_000));
}

async fn a_settle_after_the_lease_ran_out_counts_while_nobody_else_has_the_job(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    store.clock.advance_ms(90_000);
    assert_eq!(store.end(&leased, Outcome::Delivered).await, DONE);
}

async fn settling_twice_loses_the_second_time_and_changes_nothing(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    let both = vec![settle(&leased, Outcome::Delivered), settle(&leased, Outcome::Dead)];
    let settled = store.settle(both).await.unwrap();
    assert_eq!(settled, [DONE, Settled::LeaseLost]);
    assert_eq!(store.end(&leased, Outcome::Dead).await, Settled::LeaseLost);
    assert_eq!(store.row(tenant(1), id).await.state, State::Delivered);
    assert_eq!(store.totals().await.unwrap(), Counters { delivered: 1, ..Counters::default() });
}

async fn an_old_token_does_not_settle_a_retry_that_is_due_when_its_lease_would_have_ended(
    store: Engine,
) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Retry { due: leased.token.due, counts: true }).await;
    assert_eq!(store.end(&leased, Outcome::Delivered).await, Settled::LeaseLost);
    assert_eq!(store.row(tenant(1), id).await.state, State::Retrying);
}

async fn a_release_gives_the_attempt_back_and_leaves_no_record(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let first = store.take_one(&mail).await;
    store.end(&first, Outcome::Release { due: START }).await;
    let status = store.status(tenant(1), id).await.unwrap().unwrap();
    assert_eq!((status.row.state, status.row.attempts), (State::Queued, 0));
    assert_eq!((status.due, status.attempts.len()), (Some(START), 0));

    let again = store.take_one(&mail).await;
    assert_eq!(again.token.attempt, 1);
    store.end(&again, Outcome::Retry { due: START, counts: true }).await;
    let third = store.take_one(&mail).await;
    store.end(&third, Outcome::Release { due: START }).await;
    let row = store.row(tenant(1), id).await;
    assert_eq!((row.state, row.attempts), (State::Retrying, 1));
}

async fn a_retry_waits_until_it_is_due_and_keeps_what_the_failure_said(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    let leased = store.take_one(&mail).await;
    let due = START.after(TTL);
    assert_eq!(store.end(&leased, Outcome::Retry { due, counts: true }).await, DONE);
    let status = store.status(tenant(1), id).await.unwrap().unwrap();
    assert_eq!((status.row.state, status.due), (State::Retrying, Some(due)));
    assert_eq!(status.row.last_error.as_deref(), Some("it was retry"));
    assert!(store.take(&mail, 1).await.is_empty());
    store.clock.advance_ms(30_000);
    assert_eq!(store.take_one(&mail).await.token.attempt, 2);
}

async fn the_attempt_that_ends_it_counts_if_its_record_says_so(store: Engine) {
    let mail = lane(1, "mail");
    for counts in [true, false] {
        let id = store.accept(new(&mail)).await;
        let item = settle(&store.take_one(&mail).await, Outcome::Dead);
        let attempt = item.attempt.map(|attempt| Attempt { counts, ..attempt });
        let item = Settle { attempt, ..item };
        assert_eq!(store.settle(vec![item]).await.unwrap(), [DONE]);
        let status = store.status(tenant(1), id).await.unwrap().unwrap();
        assert_eq!(status.attempts[0].2.counts, counts);
    }
}

async fn the_same_key_is_accepted_once_and_tells_another_body_apart(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(keyed(&mail, "k", 1)).await;
    let again = vec![keyed(&mail, "k", 1), keyed(&mail, "k", 2), keyed(&lane(1, "chat"), "k", 1)];
    let duplicate = |same_body| Enqueued::Duplicate { id, same_body };
    let answers = store.enqueue(again).await.unwrap();
    assert_eq!(answers, [duplicate(true), duplicate(false), duplicate(true)]);
    assert_eq!(store.totals().await.unwrap().queued, 1);
}

async fn the_same_key_twice_in_one_call_is_accepted_once(store: Engine) {
    let mail = lane(1, "mail");
    let (first, second) = (keyed(&mail, "k", 1), keyed(&mail, "k", 1));
    let id = first.id;
    let answers = store.enqueue(vec![first, second]).await.unwrap();
    assert_eq!(answers, [Enqueued::Accepted, Enqueued::Duplicate { id, same_body: true }]);
}

async fn the_same_key_of_another_tenant_is_another_key(store: Engine) {
    store.accept(keyed(&lane(1, "mail"), "k", 1)).await;
    store.accept(keyed(&lane(2, "mail"), "k", 1)).await;
}

async fn a_key_is_forgotten_after_its_time(store: Engine) {
    let mail = lane(1, "mail");
    store.accept(keyed(&mail, "k", 1)).await;
    store.clock.advance_ms(24 * 3_600_000 - 1);
    let answer = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
    assert!(matches!(answer[0], Enqueued::Duplicate { .. }));
    store.clock.advance_ms(1);
    store.accept(keyed(&mail, "k", 1)).await;
    let answer = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
    assert!(matches!(answer[0], Enqueued::Duplicate { .. }));
}

async fn a_hundred_parallel_calls_with_one_key_give_one_notification(store: Engine) {
    let mail = lane(1, "mail");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (store, item) = (std::sync::Arc::clone(&store), keyed(&mail, "k", 1));
        calls.spawn(async move { (item.id, store.enqueue(vec![item]).await.unwrap().remove(0)) });
    }
    let answers = calls.join_all().await;
    let first: Vec<_> =
        answers.iter().filter(|(_, answer)| *answer == Enqueued::Accepted).collect();
    assert_eq!(first.len(), 1);
    let id = first[0].0;
    for (_, answer) in answers.iter().filter(|(own, _)| *own != id) {
        assert_eq!(*answer, Enqueued::Duplicate { id, same_body: true });
    }
}

async fn repeating_an_id_is_no_second_notification(store: Engine) {
    let mail = lane(1, "mail");
    let item = new(&mail);
    let id = store.accept(item.clone()).await;
    let other = NewNotification { payload: b"other".as_slice().into(), ..item.clone() };
    let full = NewNotification { live_max: 1, ..item.clone() };
    let duplicate = |same_body| Enqueued::Duplicate { id, same_body };
    let answers = store.enqueue(vec![item, other, full]).await.unwrap();
    assert_eq!(answers, [duplicate(true), duplicate(false), duplicate(true)]);
    assert_eq!(store.take(&mail, 10).await.len(), 1);
}

async fn a_tenant_at_its_quota_is_refused_and_others_are_not(store: Engine) {
    let small = |of| NewNotification { live_max: 2, ..new(&lane(of, "mail")) };
    let answers = store.enqueue(vec![small(1), small(1), small(1), small(2)]).await.unwrap();
    let over = Enqueued::OverQuota { live: 2 };
    assert_eq!(answers, [Enqueued::Accepted, Enqueued::Accepted, over, Enqueued::Accepted]);
}

async fn a_finished_notification_makes_room_in_the_quota(store: Engine) {
    let mail = lane(1, "mail");
    let small = || NewNotification { live_max: 1, ..new(&mail) };
    store.accept(small()).await;
    let leased = store.take_one(&mail).await;
    let refused = store.enqueue(vec![small()]).await.unwrap();
    assert_eq!(refused, [Enqueued::OverQuota { live: 1 }]);
    store.end(&leased, Outcome::Dead).await;
    store.accept(small()).await;
}

async fn ready_names_every_lane_with_a_job_and_when_its_first_is_due(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(2, "chat"));
    let later = START.after(TTL);
    let low = NewNotification { priority: Priority::Low, ..new(&mail) };
    store.accept(NewNotification { priority: Priority::Urgent, due: later, ..new(&mail) }).await;
    store.accept(low).await;
    store.accept(NewNotification { due: later, ..new(&chat) }).await;
    let ready = store.ready().await.unwrap();
    let of = |lane: &Lane, priority, due| Ready { lane: lane.clone(), priority, due };
    let wanted = [
        of(&mail, Priority::Urgent, later),
        of(&mail, Priority::Low, START),
        of(&chat, Priority::Normal, later),
    ];
    assert_eq!(ready, wanted);

    // A leased job is one that is due when its lease ends.
    store.take_one(&mail).await;
    assert_eq!(store.ready().await.unwrap()[1], of(&mail, Priority::Low, START.after(TTL)));
}

async fn hints_name_the_lanes_that_got_work(store: Engine) {
    let (mail, chat) = (lane(1, "mail"), lane(1, "chat"));
    let later = START.after(TTL);
    store.accept(NewNotification { due: later, ..new(&mail) }).await;
    store.accept(new(&mail)).await;
    store.hints().changed().await;
    let normal = |due| Hint { due, priority: Priority::Normal };
    assert_eq!(store.hints().take(), [(mail.clone(), normal(START))].into());

    let leased = store.take_one(&mail).await;
    assert!(store.hints().take().is_empty());
    store.end(&leased, Outcome::Retry { due: later, counts: true }).await;
    store.accept(NewNotification { due: later, ..new(&chat) }).await;
    store.accept(NewNotification { priority: Priority::High, ..new(&chat) }).await;
    let wanted = [(mail, normal(later)), (chat, Hint { due: START, priority: Priority::High })];
    assert_eq!(store.hints().take(), wanted.into());
}

async fn leasing_from_an_unknown_lane_gives_nothing(store: Engine) {
    let nothing: Result<_, StoreError> = store.lease(vec![want(&lane(9, "none"), 5)], TTL).await;
    assert!(nothing.unwrap().is_empty());
}
