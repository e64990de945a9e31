//! Retention under kills: what is over for long enough goes, what is not over never does, and the
//! counters follow. The host's clock is stepped by half a day before each round, and what is too old
//! is removed from the start on, so that it is going on when the kill comes.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use crate::{
    clock::{library, set, with_library},
    kit::{Folder, KEY_A, TestHost, eventually},
    power::{Load, Size},
    settings,
};

const NAME: &str = "retention under kills";
const STEP_HOURS: i64 = 13;
/// For how long the host is told to keep what is over.
const KEPT_HOURS: i64 = 24;

/// Hands over something that is due long after everything else is forgotten.
async fn far_ahead(host: &TestHost) -> String {
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(300 * 24);
    let body = json!({"channel": "log", "message": "far ahead", "sendAt": due.to_string()});
    let answer = host.notify(&body).header("prefer", "respond-async").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.id()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_removes_only_what_is_over_for_long_enough_whenever_it_is_killed() {
    let Some(library) = library() else {
        return settings::skipped(NAME, "libfaketime is needed (Debian's package of that name)");
    };
    let mut chances = settings::chances(NAME);
    let mut folder = Folder::new();
    let clock = with_library(&mut folder, &library);
    let mut host = TestHost::start_with(folder, &["--retention-days", "1"]).await;
    // Each with the hour it was handed over in.
    let (mut over, mut live) = (BTreeMap::new(), Vec::new());
    let rounds = i64::try_from(settings::rounds_by(4, 5)).unwrap();
    for round in 0..rounds {
        let load = Load::on(&host, Size::Small);
        load.reaches(150).await;
        live.push(far_ahead(&host).await);
        tokio::time::sleep(Duration::from_millis(chances.u64(0..200))).await;
        host.kill().await;
        over.extend(load.stop().await.into_iter().map(|id| (id, round * STEP_HOURS)));
        set(&clock, (round + 1) * STEP_HOURS * 3_600);
        host.start_again();
        tokio::time::sleep(Duration::from_millis(chances.u64(100..600))).await;
        host = host.restart().await;
    }

    let now = rounds * STEP_HOURS;
    // What was under way at a kill was delivered in the next round: that is when it ended.
    let is_too_old = |hour: i64| now - (hour + STEP_HOURS) > KEPT_HOURS;
    let is_young = |hour: i64| now - hour <= KEPT_HOURS;
    let too_old = over.values().filter(|hour| is_too_old(**hour)).count();
    assert!(too_old > 0, "nothing is old enough");
    eventually("what is too old is removed", async || {
        let mut left = 0;
        for (id, _) in over.iter().filter(|(_, hour)| is_too_old(**hour)) {
            left += usize::from(host.notification(id).await.status != 404);
        }
        (left == 0).then_some(())
    })
    .await;
    for (id, _) in over.iter().filter(|(_, hour)| is_young(**hour)) {
        host.reaches(id, "delivered").await;
    }
    for id in &live {
        assert_eq!(host.notification(id).await.json["status"], "queued", "{id} is not over");
    }
    agree(&host, live.len()).await;

    // And it is delivered, when its day comes.
    set(&clock, 301 * 24 * 3_600);
    for id in &live {
        host.reaches(id, "delivered").await;
    }
    let (kept, waiting) = (over.values().filter(|hour| is_young(**hour)).count(), live.len());
    let figures = format!(
        "{rounds} rounds, {too_old} removed, {kept} too young and {waiting} not over kept, 0 lost"
    );
    settings::proved(NAME, figures);
}

/// Counters and lists say the same. (Beside what was acknowledged there is what was accepted in the
/// moment of a kill.)
async fn agree(host: &TestHost, queued: usize) {
    let counted = eventually("nothing but the far ahead is waiting", async || {
        let counted = host.health().await["queue"].clone();
        (counted["queued"] == queued && counted["sending"] == 0 && counted["retrying"] == 0)
            .then_some(counted)
    })
    .await;
    for state in ["queued", "delivered"] {
        let (mut listed, mut cursor) = (0, String::new());
        loop {
            let path = format!("/notifications?status={state}&limit=200&cursor={cursor}");
            let page = host.call("GET", &path).key(KEY_A).send().await.json;
            listed += page["items"].as_array().unwrap().len();
            match page["nextCursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(counted[state], listed, "{state}: {counted}");
    }
}
