//! `POST /notifications/batch`: many notifications in one request and one transaction, those for
//! several channels in a second one. Each has its own result and a bad one fails alone. Nothing is
//! waited for.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{
    Shared,
    answer::json,
    auth::Caller,
    body,
    group::new_group,
    idempotency,
    json::{kind_of, parse},
    lookup::{To, prepare},
    notification::invalid,
    notify::{new_notification, queue_full, reused_key},
    problem::{FieldError, Problem},
    refusals::store_failed,
};
use crate::{
    clock::UnixMs,
    ids::{Digest, NotificationId},
    limits::{BATCH_BODY_BYTES_MAX, BATCH_CHILDREN_MAX, BATCH_ITEMS_MAX},
    store::{Enqueued, Idempotency, NewGroup, NewNotification, StoreError},
};

/// What came of a batch.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct BatchView {
    /// How many were accepted, now or by an earlier request with the same key.
    accepted: usize,
    /// How many were not.
    refused: usize,
    /// One for each notification, in the order of the request.
    results: Vec<BatchResult>,
}

/// What came of one notification of a batch.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct BatchResult {
    /// Whether it is in the queue.
    success: bool,
    /// Its id (UUIDv7), if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    id: Option<NotificationId>,
    /// Whether an earlier request with the same key made it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
    /// Why it was refused: the problem that it would have been answered with alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<super::openapi::schemas::Problem>)]
    problem: Option<Value>,
}

/// Accepts many notifications.
pub(super) async fn batch(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let text = body::read_json(&parts.headers, body, BATCH_BODY_BYTES_MAX).await?;
    let items = read_items(parse(&text)?)?;
    let key = idempotency::read(&parts.headers, &text)?;
    let now = shared.api.clock.now();

    let mut news = News::default();
    let mut results = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let key = key.as_ref().map(|key| item_key(key, index));
        results.push(read_item(&shared, &caller, item, key, now, &mut news));
    }
    let enqueued = enqueue(&shared, news).await?;
    let view = view(&caller, results, enqueued);
    shared.api.metrics.accepted(view.new);
    Ok(json(StatusCode::ACCEPTED, &view.body))
}

fn read_items(value: Value) -> Result<Vec<Value>, Problem> {
    let detail = match value {
        Value::Array(items) if (1..=BATCH_ITEMS_MAX).contains(&items.len()) => return Ok(items),
        Value::Array(items) => {
            format!("has {} items; expected 1 to {BATCH_ITEMS_MAX}", items.len())
        }
        other => format!("is {}; expected an array of notifications", kind_of(&other)),
    };
    Err(invalid(vec![FieldError::at("", detail)]))
}

/// What a batch is to the store.
#[derive(Default)]
struct News {
    singles: Vec<NewNotification>,
    groups: Vec<NewGroup>,
    children: usize,
}

/// Which of them an item became.
#[derive(Clone, Copy)]
enum Kind {
    Single,
    /// With so many notifications.
    Group(u64),
}

fn read_item(
    shared: &Shared,
    caller: &Caller,
    item: Value,
    key: Option<Idempotency>,
    now: UnixMs,
    news: &mut News,
) -> Result<Kind, Problem> {
    // Each one counts against the rate: a batch is no way around it.
    shared.rates.check(&caller.generation, caller.tenant.id, &caller.tenant.limits)?;
    let (wanted, to) = prepare(caller, item, now)?;
    let id = NotificationId::generate();
    match to {
        To::One(channel) => {
            news.singles.push(new_notification(caller, channel, &wanted, key, id, now));
            Ok(Kind::Single)
        }
        To::Group(channels) => {
            let count = channels.len();
            if news.children + count > BATCH_CHILDREN_MAX {
                let detail = format!(
                    "with those before it the batch has more than {BATCH_CHILDREN_MAX} \
                     notifications for several channels; send it in another batch"
                );
                return Err(invalid(vec![FieldError::at("/channels", detail)]));
            }
            news.children += count;
            news.groups.push(new_group(caller, &channels, &wanted, key, id, now));
            Ok(Kind::Group(u64::try_from(count).unwrap_or(u64::MAX)))
        }
    }
}

/// The key of one notification of a batch: of its own, and no other route's.
fn item_key(key: &Idempotency, index: usize) -> Idempotency {
    let mut text = Vec::from(b"batch/".as_slice());
    text.extend_from_slice(&index.to_be_bytes());
    text.extend_from_slice(&key.key);
    Idempotency { key: Bytes::copy_from_slice(&Digest::of(&text).0), ..key.clone() }
}

/// What the store said about each, with the id that it was to have.
type Said = std::vec::IntoIter<(NotificationId, Enqueued)>;

/// What came of the single ones and of the groups, which are a call of their own: once the single
/// ones are stored, a failure of the other call is a matter of the groups alone.
struct Stored {
    singles: Said,
    groups: Result<Said, Problem>,
}

async fn enqueue(shared: &Shared, news: News) -> Result<Stored, Problem> {
    let store = &shared.api.store;
    let News { singles, groups, .. } = news;
    let single_ids: Vec<NotificationId> = singles.iter().map(|new| new.id).collect();
    let group_ids: Vec<NotificationId> = groups.iter().map(|new| new.id).collect();
    let (any_single, any_group) = (!singles.is_empty(), !groups.is_empty());
    let said = if any_single { store.enqueue(singles).await } else { Ok(Vec::new()) };
    let singles = said_of(single_ids, said)?;
    let said = if any_group { store.enqueue_groups(groups).await } else { Ok(Vec::new()) };
    match said_of(group_ids, said) {
        Err(problem) if !any_single => Err(problem),
        groups => Ok(Stored { singles, groups }),
    }
}

fn said_of(
    ids: Vec<NotificationId>,
    said: Result<Vec<Enqueued>, StoreError>,
) -> Result<Said, Problem> {
    let said = said.map_err(|error| store_failed(&error))?;
    if said.len() == ids.len() {
        return Ok(ids.into_iter().zip(said).collect::<Vec<_>>().into_iter());
    }
    Err(store_failed(&StoreError::Unknown(String::from("it did not say what came of each item"))))
}

struct Viewed {
    body: BatchView,
    new: u64,
}

fn view(caller: &Caller, results: Vec<Result<Kind, Problem>>, stored: Stored) -> Viewed {
    let Stored { mut singles, mut groups } = stored;
    let mut new = 0;
    let results: Vec<BatchResult> = results
        .into_iter()
        .map(|read| {
            let (stored, count) = match read {
                Ok(Kind::Single) => (singles.next(), 1),
                Ok(Kind::Group(count)) => match &mut groups {
                    Ok(groups) => (groups.next(), count),
                    Err(problem) => return BatchResult::refused(problem),
                },
                Err(problem) => return BatchResult::refused(&problem),
            };
            match stored {
                Some((id, Enqueued::Accepted)) => {
                    new += count;
                    BatchResult::accepted(id, false)
                }
                Some((_, Enqueued::Duplicate { id, same_body: true })) => {
                    BatchResult::accepted(id, true)
                }
                Some((_, Enqueued::Duplicate { id, same_body: false })) => {
                    BatchResult::refused(&reused_key(id))
                }
                Some((_, Enqueued::OverQuota { live })) => {
                    BatchResult::refused(&queue_full(live, caller))
                }
                None => BatchResult::refused(&store_failed(&StoreError::Busy)),
            }
        })
        .collect();
    let accepted = results.iter().filter(|result| result.success).count();
    let refused = results.len() - accepted;
    Viewed { body: BatchView { accepted, refused, results }, new }
}

impl BatchResult {
    const fn accepted(id: NotificationId, replay: bool) -> Self {
        Self { success: true, id: Some(id), replay, problem: None }
    }

    fn refused(problem: &Problem) -> Self {
        Self { success: false, id: None, replay: false, problem: Some(problem.to_json()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::kit::{Answer, Host, post, tenant};

    async fn send(host: &Host, body: &Value, key: Option<&str>) -> Answer {
        let key: Vec<_> = key.map(|key| ("idempotency-key", key)).into_iter().collect();
        let mut request = post(body, &key);
        *request.uri_mut() = "/notifications/batch".parse().unwrap();
        host.send(request).await
    }

    fn item(message: &str) -> Value {
        json!({"channel": "log", "message": message})
    }

    #[tokio::test]
    async fn one_bad_item_fails_alone() {
        let host = Host::new();
        let body = json!([item("a"), {"channel": "nope", "message": "m"}, 7, item("b")]);
        let answer = send(&host, &body, None).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        let body = answer.json();
        assert_eq!((&body["accepted"], &body["refused"]), (&json!(2), &json!(2)));
        assert_eq!(body["results"][1]["problem"]["type"], "/problems/unknown-channel");
        assert_eq!(body["results"][2]["problem"]["status"], 400);
        let stored: Vec<String> = host.store.all().iter().map(|new| new.id.to_string()).collect();
        assert_eq!(stored.len(), 2);
        for index in [0, 3] {
            assert!(stored.contains(&body["results"][index]["id"].as_str().unwrap().to_owned()));
        }
    }

    #[tokio::test]
    async fn a_repeated_batch_is_accepted_once() {
        let host = Host::new();
        let body = json!([item("a"), item("a")]);
        let first = send(&host, &body, Some("k")).await.json();
        let again = send(&host, &body, Some("k")).await.json();
        assert_eq!(host.store.all().len(), 2);
        assert_eq!(again["results"][1]["id"], first["results"][1]["id"]);
        assert_eq!(
            (&first["results"][0]["replay"], &again["results"][0]["replay"]),
            (&Value::Null, &json!(true))
        );
        let other = send(&host, &json!([item("b")]), Some("k")).await.json();
        assert_eq!(other["results"][0]["problem"]["type"], "/problems/idempotency-key-reused");
        // The same key on the other route is another key.
        let single = host.send(post(&item("a"), &[("idempotency-key", "k"), ("prefer", "wait=0")]));
        assert_eq!(single.await.status, StatusCode::ACCEPTED);
        assert_eq!(host.store.all().len(), 3);
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_must_be_an_array() {
        let host = Host::new();
        let many: Vec<Value> = (0..=BATCH_ITEMS_MAX).map(|_| item("a")).collect();
        for body in [json!([]), json!({}), json!(many)] {
            assert_eq!(send(&host, &body, None).await.problem(), "invalid-request");
        }
        let most: Vec<Value> = (0..BATCH_ITEMS_MAX).map(|_| item("a")).collect();
        assert_eq!(send(&host, &json!(most), None).await.json()["accepted"], BATCH_ITEMS_MAX);
    }

    #[tokio::test]
    async fn every_item_counts_against_rate_and_queue() {
        let mut small = tenant(1);
        (small.limits.rate_per_s, small.limits.burst) = (Some(0.01), 3);
        small.limits.queue_max = 2;
        let host = Host::with(vec![small]);
        let body = json!([item("a"), item("b"), item("c"), item("d")]);
        let body = send(&host, &body, None).await.json();
        assert_eq!(body["accepted"], 2);
        assert_eq!(body["results"][2]["problem"]["type"], "/problems/queue-full");
        assert_eq!(body["results"][3]["problem"]["type"], "/problems/rate-limited");
    }
}
