//! Fan-out and fallback: a parent, its branches, and when it has ended.

use super::{
    for_each_engine,
    kit::{DONE, Engine, START, all_of, group, keyed, lane, new, ordered, settle, tenant},
};
use crate::{
    ids::NotificationId,
    store::{
        Enqueued, Lane, Leased, NewGroup, NewNotification, Outcome, ParentEnd, ParentStatus,
        Settle, Settled, State,
    },
};

for_each_engine![
    a_group_is_accepted_whole_and_its_parent_tells_of_every_child,
    the_last_branch_to_end_ends_the_parent,
    a_fallback_continues_its_branch,
    a_follow_up_with_another_parent_or_none_stands_alone,
    a_group_counts_its_children_against_the_quota_and_is_refused_whole,
    a_group_is_accepted_once_for_its_key_and_once_for_its_id,
    a_group_with_a_child_that_is_known_is_refused_whole,
    cancelling_a_parent_takes_back_what_is_not_sent,
    cancelling_a_parent_with_an_ordering_key_leaves_nothing_behind,
    replaying_a_parent_repeats_the_branches_that_failed,
    replaying_a_child_opens_its_parent_again,
    nobody_reaches_another_tenants_parent,
];

fn lanes() -> [Lane; 3] {
    [lane(1, "mail"), lane(1, "chat"), lane(1, "sms")]
}

async fn accept(store: &Engine, group: NewGroup) -> NotificationId {
    let id = group.id;
    assert_eq!(store.enqueue_groups(vec![group]).await.unwrap(), [Enqueued::Accepted]);
    id
}

async fn parent(store: &Engine, id: NotificationId) -> ParentStatus {
    store.parent(tenant(1), id).await.unwrap().expect("it is known")
}

/// Settles, with a fallback to each of `to`.
async fn fall_back(store: &Engine, leased: &Leased, outcome: Outcome, to: &[&Lane]) -> Settled {
    let follow = |lane: &&Lane| NewNotification { parent: leased.parent, ..new(lane) };
    let follow = to.iter().map(follow).collect();
    store.settle(vec![Settle { follow, ..settle(leased, outcome) }]).await.unwrap()[0]
}

const fn ended(id: NotificationId, delivered: u32, failed: u32) -> Settled {
    Settled::Done { parent: Some(ParentEnd { id, delivered, failed }) }
}

async fn a_group_is_accepted_whole_and_its_parent_tells_of_every_child(store: Engine) {
    let [mail, chat, _] = lanes();
    let item = group(&[&mail, &chat]);
    let children: Vec<_> = item.children.iter().map(|child| child.id).collect();
    let id = accept(&store, item).await;
    assert_eq!(store.hints().take().len(), 2);

    let status = parent(&store, id).await;
    assert_eq!((status.id, status.created, &status.payload[..]), (id, START, &b"to all"[..]));
    assert_eq!((status.branches, status.open, status.delivered, status.failed), (2, 2, 0, 0));
    assert_eq!(status.state(), State::Queued);
    let told: Vec<_> =
        status.children.iter().map(|child| (child.branch, child.row.id, &child.row.lane)).collect();
    assert_eq!(told, [(0, children[0], &mail), (1, children[1], &chat)]);

    // Children are notifications as any other; the parent is none.
    let leased = store.take_one(&mail).await;
    assert_eq!((leased.id, leased.parent), (children[0], Some(id)));
    assert_eq!(store.status(tenant(1), id).await.unwrap(), None);
    assert_eq!(store.row(tenant(1), children[1]).await.parent, Some(id));
    assert_eq!(store.parent(tenant(1), children[1]).await.unwrap(), None);
    let listed = store.list(all_of(tenant(1))).await.unwrap().items;
    let listed: Vec<_> = listed.iter().map(|row| (row.id, row.parent)).collect();
    assert_eq!(listed, [(children[1], Some(id)), (children[0], Some(id))]);
    assert_eq!(store.totals().await.unwrap().live(), 2);
    assert_eq!(parent(&store, id).await.state(), State::Sending);
}

async fn the_last_branch_to_end_ends_the_parent(store: Engine) {
    let [mail, chat, sms] = lanes();
    let id = accept(&store, group(&[&mail, &chat, &sms])).await;
    let leased = store.take_one(&mail).await;
    let retry = Outcome::Retry { due: START, counts: true };
    assert_eq!(store.end(&leased, retry).await, DONE);
    assert_eq!(store.end(&store.take_one(&mail).await, Outcome::Delivered).await, DONE);
    assert_eq!(store.end(&store.take_one(&chat).await, Outcome::Dead).await, DONE);
    let status = parent(&store, id).await;
    assert_eq!((status.open, status.delivered, status.failed), (1, 1, 1));
    assert_eq!(store.end(&store.take_one(&sms).await, Outcome::Dead).await, ended(id, 1, 2));
    assert_eq!(parent(&store, id).await.state(), State::Delivered);
}

async fn a_fallback_continues_its_branch(store: Engine) {
    let [mail, chat, sms] = lanes();
    let id = accept(&store, group(&[&mail, &sms])).await;
    store.end(&store.take_one(&sms).await, Outcome::Delivered).await;
    let leased = store.take_one(&mail).await;
    assert_eq!(fall_back(&store, &leased, Outcome::Dead, &[&chat]).await, DONE);
    let status = parent(&store, id).await;
    assert_eq!((status.branches, status.open, status.delivered, status.failed), (2, 1, 1, 0));
    let branches: Vec<_> = status.children.iter().map(|child| child.branch).collect();
    assert_eq!(branches, [0, 1, 0]);

    let leased = store.take_one(&chat).await;
    assert_eq!(leased.parent, Some(id));
    assert_eq!(fall_back(&store, &leased, Outcome::Dead, &[&mail]).await, DONE);
    let leased = store.take_one(&mail).await;
    assert_eq!(store.end(&leased, Outcome::Delivered).await, ended(id, 2, 0));
}

async fn a_follow_up_with_another_parent_or_none_stands_alone(store: Engine) {
    let [mail, chat, _] = lanes();
    let id = accept(&store, group(&[&mail])).await;
    let other = accept(&store, group(&[&chat])).await;
    let leased = store.take_one(&mail).await;
    let follow = vec![
        new(&mail),
        NewNotification { parent: Some(other), ..new(&mail) },
        NewNotification { parent: Some(NotificationId::generate()), ..new(&mail) },
        NewNotification { parent: Some(id), ..new(&lane(2, "mail")) },
    ];
    let item = Settle { follow, ..settle(&leased, Outcome::Delivered) };
    assert_eq!(store.settle(vec![item]).await.unwrap(), [ended(id, 1, 0)]);
    assert_eq!(parent(&store, other).await.children.len(), 1);
    let mut alone = store.take(&mail, 9).await;
    alone.push(store.take_one(&lane(2, "mail")).await);
    assert_eq!(alone.len(), 4);
    for leased in alone {
        assert_eq!(leased.parent, None);
        assert_eq!(store.end(&leased, Outcome::Delivered).await, DONE);
    }
}

async fn a_group_counts_its_children_against_the_quota_and_is_refused_whole(store: Engine) {
    let [mail, chat, _] = lanes();
    let small = |live_max| NewGroup { live_max, ..group(&[&mail, &chat]) };
    let answers = store.enqueue_groups(vec![small(3), small(3), small(4)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Accepted, Enqueued::OverQuota { live: 2 }, Enqueued::Accepted]);
    assert_eq!(store.totals().await.unwrap().queued, 4);
}

async fn a_group_is_accepted_once_for_its_key_and_once_for_its_id(store: Engine) {
    let [mail, chat, _] = lanes();
    let with_key = |body| {
        let key = keyed(&mail, "k", body).idempotency;
        NewGroup { idempotency: key, ..group(&[&mail, &chat]) }
    };
    let first = with_key(1);
    let id = accept(&store, first.clone()).await;
    let duplicate = |same_body| Enqueued::Duplicate { id, same_body };
    let answers = store.enqueue_groups(vec![with_key(1), with_key(2)]).await.unwrap();
    assert_eq!(answers, [duplicate(true), duplicate(false)]);
    let single = store.enqueue(vec![keyed(&mail, "k", 1)]).await.unwrap();
    assert_eq!(single, [duplicate(true)]);

    let again = NewGroup { idempotency: None, live_max: 0, ..first };
    let other = NewGroup { payload: b"other".as_slice().into(), ..again.clone() };
    let answers = store.enqueue_groups(vec![again, other]).await.unwrap();
    assert_eq!(answers, [duplicate(true), duplicate(false)]);
    assert_eq!(store.totals().await.unwrap().queued, 2);
}

async fn a_group_with_a_child_that_is_known_is_refused_whole(store: Engine) {
    let [mail, chat, _] = lanes();
    let known = new(&mail);
    store.accept(known.clone()).await;
    let mut with_known = group(&[&chat]);
    with_known.children.push(known.clone());
    let mut with_twins = group(&[&chat]);
    with_twins.children.push(with_twins.children[0].clone());
    let named_alike = NewGroup { id: known.id, ..group(&[&chat]) };
    for item in [with_known, with_twins, named_alike] {
        let id = item.id;
        let answers = store.enqueue_groups(vec![item]).await.unwrap();
        assert_eq!(answers, [Enqueued::Duplicate { id, same_body: false }]);
        assert_eq!(store.parent(tenant(1), id).await.unwrap(), None);
    }
    assert_eq!(store.totals().await.unwrap().queued, 1);
}

async fn cancelling_a_parent_takes_back_what_is_not_sent(store: Engine) {
    let [mail, chat, sms] = lanes();
    let id = accept(&store, group(&[&mail, &chat, &sms])).await;
    let leased = store.take_one(&mail).await;
    store.end(&store.take_one(&chat).await, Outcome::Retry { due: START, counts: true }).await;
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Sending));
    assert!(store.take(&chat, 9).await.is_empty() && store.take(&sms, 9).await.is_empty());
    assert_eq!(store.totals().await.unwrap().cancelled, 2);
    assert_eq!(store.end(&leased, Outcome::Delivered).await, ended(id, 1, 2));
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Delivered));

    let id = accept(&store, group(&[&mail, &chat])).await;
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Cancelled));
    assert_eq!(parent(&store, id).await.open, 0);
}

async fn cancelling_a_parent_with_an_ordering_key_leaves_nothing_behind(store: Engine) {
    let mail = lane(1, "mail");
    let mut item = group(&[&mail]);
    item.children = (0..3).map(|_| ordered(&mail, "k")).collect();
    let id = accept(&store, item).await;
    store.clock.advance_ms(5);
    assert_eq!(store.cancel(tenant(1), id).await.unwrap(), Some(State::Cancelled));
    assert_eq!(store.ready().await.unwrap(), []);
    let next = store.accept(ordered(&mail, "k")).await;
    assert_eq!(store.take_one(&mail).await.id, next);
}

async fn replaying_a_parent_repeats_the_branches_that_failed(store: Engine) {
    let [mail, chat, sms] = lanes();
    let id = accept(&store, group(&[&mail, &sms])).await;
    assert_eq!(store.replay(tenant(1), id).await.unwrap(), Some(State::Queued));
    let first = store.take_one(&mail).await;
    fall_back(&store, &first, Outcome::Dead, &[&chat]).await;
    store.end(&store.take_one(&chat).await, Outcome::Dead).await;
    assert_eq!(store.end(&store.take_one(&sms).await, Outcome::Delivered).await, ended(id, 1, 1));

    assert_eq!(store.replay(tenant(1), id).await.unwrap(), Some(State::Delivered));
    assert!(store.take(&sms, 9).await.is_empty() && store.take(&chat, 9).await.is_empty());
    let again = store.take_one(&mail).await;
    assert_eq!((again.id, again.generation), (first.id, 1));
    assert_eq!(store.end(&again, Outcome::Delivered).await, ended(id, 2, 0));
}

async fn replaying_a_child_opens_its_parent_again(store: Engine) {
    let [mail, chat, _] = lanes();
    let id = accept(&store, group(&[&mail, &chat])).await;
    let dead = store.take_one(&mail).await;
    store.end(&dead, Outcome::Dead).await;
    assert_eq!(store.end(&store.take_one(&chat).await, Outcome::Dead).await, ended(id, 0, 2));
    store.replay(tenant(1), dead.id).await.unwrap();
    let status = parent(&store, id).await;
    assert_eq!((status.open, status.delivered, status.failed), (1, 0, 1));
    assert_eq!(store.end(&store.take_one(&mail).await, Outcome::Delivered).await, ended(id, 1, 1));
}

async fn nobody_reaches_another_tenants_parent(store: Engine) {
    let id = accept(&store, group(&[&lane(1, "mail")])).await;
    accept(&store, group(&[&lane(2, "mail")])).await;
    for (tenant, id) in [(tenant(2), id), (tenant(3), id), (tenant(1), NotificationId::generate())]
    {
        assert_eq!(store.parent(tenant, id).await.unwrap(), None);
        assert_eq!(store.cancel(tenant, id).await.unwrap(), None);
        assert_eq!(store.replay(tenant, id).await.unwrap(), None);
    }
    assert_eq!(parent(&store, id).await.state(), State::Queued);
}
