//! Ranges of dead letters that are purged while everything else goes on. Time is cut into slots, and
//! only what was accepted in an even one is ever purged, of one channel: so of everything it is known
//! in the end whether it must be gone. What is dead beside it, in an odd slot or in another channel,
//! and what was delivered in its midst, must be there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::ledger::{Found, Ledger, Listed};
use crate::kit::{KEY_A, KEY_ADMIN, TestHost};

/// The channel whose dead letters are purged.
pub(super) const SWEPT: &str = "swept";
const SLOT_MS: i64 = 250;
/// How much of a range goes with one call: less than a slot may hold.
const PAGE: usize = 3;

/// An even slot, so many before the present one or the one before that.
pub(super) fn slot(before: i64) -> i64 {
    even(jiff::Timestamp::now().as_millisecond().div_euclid(SLOT_MS) - before)
}

const fn even(slot: i64) -> i64 {
    slot - slot.rem_euclid(2)
}

fn is_swept(accepted_ms: i64) -> bool {
    accepted_ms.div_euclid(SLOT_MS).rem_euclid(2) == 0
}

/// The request for one page of a slot.
pub(super) fn request(slot: i64, cursor: Option<&str>) -> Value {
    let moment = |slot| jiff::Timestamp::from_millisecond(slot * SLOT_MS).unwrap().to_string();
    let mut body = json!({
        "status": "dead", "channel": SWEPT, "from": moment(slot), "to": moment(slot + 1),
        "limit": PAGE,
    });
    if let Some(cursor) = cursor {
        body["cursor"] = json!(cursor);
    }
    body
}

/// Everything that is to go and has not gone yet, when nothing else goes on.
pub(super) async fn sweep_all(host: &TestHost, ledger: &Arc<Ledger>, begin: i64) {
    for slot in (begin..=slot(0)).filter(|slot| *slot == even(*slot)) {
        let mut cursor: Option<String> = None;
        loop {
            let body = request(slot, cursor.as_deref());
            let call = host.call("POST", "/notifications/purge").key(KEY_A).json(&body);
            let answer = call.send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            ledger.swept(&answer.json);
            match answer.json["nextCursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break,
            }
        }
    }
}

/// An event of the trail: its kind, and when it was.
pub(super) type Noted = (String, i64);

/// What the trail says of these notifications.
pub(super) async fn trail(host: &TestHost, of: &BTreeSet<&String>) -> BTreeMap<String, Vec<Noted>> {
    let mut events: BTreeMap<String, Vec<Noted>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let path = format!("/admin/audit?after={after}");
        let page = host.call("GET", &path).key(KEY_ADMIN).send().await;
        assert_eq!(page.status, 200, "{page:?}");
        let Some(last) = page.text.lines().last() else { return events };
        after = serde_json::from_str::<Value>(last).unwrap()["seq"].as_i64().unwrap();
        for line in page.text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let id = line["notification"].as_str().map(str::to_owned);
            if let Some(id) = id.filter(|id| of.contains(id)) {
                let kind = line["kind"].as_str().unwrap().to_owned();
                events.entry(id).or_default().push((kind, line["atMs"].as_i64().unwrap()));
            }
        }
    }
}

/// What was purged is gone, and the trail knows that it was there and that it was removed. Gives
/// when it was accepted.
pub(super) async fn gone(
    host: &TestHost,
    (id, message): (&String, &String),
    listed: &BTreeMap<String, Listed>,
    trail: &mut BTreeMap<String, Vec<Noted>>,
) -> i64 {
    assert!(!listed.contains_key(id), "{message} is listed");
    let answer = host.notification(id).await;
    assert_eq!(answer.status, 404, "{message} is there: {answer:?}");
    let mut noted = trail.remove(id).unwrap_or_default();
    noted.retain(|(kind, _)| kind != "lost" && kind != "retrying");
    let kinds: Vec<_> = noted.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["accepted", "dead", "purged"], "{message}");
    noted[0].1
}

impl Found {
    /// Of the channel that is swept, what was in an even slot is gone and all else is there. Gives what
    /// is gone, and what is there is put back to what was accepted.
    pub(super) async fn swept(
        &mut self,
        host: &TestHost,
        swept: BTreeMap<String, String>,
        accepted: &mut BTreeMap<String, String>,
        listed: &BTreeMap<String, Listed>,
        told: (usize, usize),
    ) -> BTreeMap<String, String> {
        let (kept, purged): (BTreeMap<_, _>, BTreeMap<_, _>) =
            swept.into_iter().partition(|(id, _)| listed.contains_key(id));
        for (id, message) in &kept {
            let at = host.notification(id).await.json["createdAt"].clone();
            let at: jiff::Timestamp = at.as_str().unwrap().parse().unwrap();
            assert!(!is_swept(at.as_millisecond()), "{message} of {at} should be purged");
        }
        let mut trail = trail(host, &purged.keys().collect()).await;
        for (id, message) in &purged {
            let at = gone(host, (id, message), listed, &mut trail).await;
            assert!(is_swept(at), "{message} of {at} was outside of each range that was purged");
        }
        // What the answers said that they removed; of calls without an answer nobody knows.
        let (answered, unanswered) = told;
        let right = match unanswered {
            0 => answered == purged.len(),
            _ => answered <= purged.len(),
        };
        assert!(right, "{} are gone, {answered} by the answers", purged.len());
        (self.swept, self.beside) = (purged.len(), kept.len());
        accepted.extend(kept);
        purged
    }
}
