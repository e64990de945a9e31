//! What happened can be read, in the order in which it happened.

use super::{
    for_each_engine,
    kit::{Engine, START, TTL, group, lane, new, tenant},
};
use crate::store::{Event, EventKind, EventQuery, NewEvent, Outcome};

for_each_engine![
    everything_that_happens_to_a_notification_is_an_event,
    the_host_writes_events_of_its_own,
    events_come_page_by_page_and_a_tenant_sees_its_own,
    those_who_follow_are_told,
];

async fn all(store: &Engine) -> Vec<Event> {
    let query = EventQuery { tenant: None, after: 0, limit: 1_000 };
    store.events(query).await.unwrap().items
}

async fn everything_that_happens_to_a_notification_is_an_event(store: Engine) {
    let mail = lane(1, "mail");
    let id = store.accept(new(&mail)).await;
    store.take_one(&mail).await;
    store.clock.advance_ms(i64::try_from(TTL.as_millis()).unwrap());
    let leased = store.take_one(&mail).await;
    store.end(&leased, Outcome::Release { due: START }).await;
    for outcome in [Outcome::Retry { due: START, counts: true }, Outcome::Dead, Outcome::Delivered]
    {
        let leased = store.take_one(&mail).await;
        store.end(&leased, outcome.clone()).await;
        if outcome == Outcome::Dead {
            store.replay(tenant(1), id).await.unwrap();
        }
    }
    store.replay(tenant(1), id).await.unwrap();
    store.cancel(tenant(1), id).await.unwrap();
    let events = all(&store).await;
    let told: Vec<_> =
        events.iter().map(|event| (event.kind, event.attempt, event.detail.as_deref())).collect();
    assert_eq!(
        told,
        [
            (EventKind::Accepted, 0, None),
            (EventKind::Lost, 1, None),
            (EventKind::Retrying, 2, Some("retry")),
            (EventKind::Dead, 3, Some("rejected")),
            (EventKind::Replayed, 0, None),
            (EventKind::Delivered, 1, Some("delivered")),
            (EventKind::Replayed, 0, None),
            (EventKind::Cancelled, 0, None),
        ]
    );
    for (n, event) in (1..).zip(&events) {
        assert_eq!((event.seq, event.notification, event.tenant), (n, Some(id), Some(tenant(1))));
        assert_eq!(event.channel.as_ref(), Some(&mail.channel));
    }
    assert_eq!((events[0].at, events[1].at), (START, START.after(TTL)));
}

async fn the_host_writes_events_of_its_own(store: Engine) {
    let of = |tenant| NewEvent {
        kind: EventKind::Reload,
        tenant,
        notification: None,
        detail: Some("x".repeat(5_000)),
    };
    store.record_event(of(None)).await.unwrap();
    store.record_event(of(Some(tenant(5)))).await.unwrap();
    let events = all(&store).await;
    let tenants: Vec<_> = events.iter().map(|event| event.tenant).collect();
    assert_eq!(tenants, [None, Some(tenant(5))]);
    assert_eq!(events[0].detail.as_deref().map(str::len), Some(2_048), "it is cut");
    assert_eq!((events[0].kind, events[0].notification), (EventKind::Reload, None));
}

async fn events_come_page_by_page_and_a_tenant_sees_its_own(store: Engine) {
    let item = group(&[&lane(1, "mail"), &lane(1, "chat")]);
    let mut wanted: Vec<_> = item.children.iter().map(|child| Some(child.id)).collect();
    wanted.insert(0, Some(item.id));
    store.enqueue_groups(vec![item]).await.unwrap();
    for n in 0..7 {
        let id = store.accept(new(&lane(1 + n % 2, "mail"))).await;
        if n % 2 == 0 {
            wanted.push(Some(id));
        }
    }
    let mut query = EventQuery { tenant: Some(tenant(1)), after: 0, limit: 3 };
    let mut found = Vec::new();
    loop {
        let page = store.events(query).await.unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items.iter().map(|event| event.notification));
        let Some(next) = page.next else { break };
        assert_eq!(page.items.last().map(|event| event.seq), Some(next));
        query.after = next;
    }
    assert_eq!(found, wanted);
    let nobody = EventQuery { tenant: Some(tenant(9)), after: 0, limit: 3 };
    assert!(store.events(nobody).await.unwrap().items.is_empty());
}

async fn those_who_follow_are_told(store: Engine) {
    let mut last = store.last_event();
    assert_eq!(*last.borrow_and_update(), 0);
    store.accept(new(&lane(1, "mail"))).await;
    last.changed().await.unwrap();
    assert_eq!(*last.borrow_and_update(), 1);
    assert!(store.take(&lane(1, "none"), 1).await.is_empty());
    assert!(!last.has_changed().unwrap(), "nothing happened");
}
