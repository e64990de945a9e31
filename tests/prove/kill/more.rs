//! Whether it was kept what was promised of requests to two channels, of order, and of purging.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    THIRD,
    ledger::{Found, Kind, Listed},
    receiver::Taken,
};
use crate::kit::{KEY_ADMIN, TestHost};

impl Found {
    /// A parent with a notification of each channel, both delivered. Gives their ids.
    pub(super) async fn both(
        &mut self,
        host: &TestHost,
        both: &BTreeMap<String, String>,
        listed: &BTreeMap<String, Listed>,
        taken: &BTreeMap<String, Taken>,
    ) -> BTreeSet<String> {
        let mut children = BTreeSet::new();
        for (id, message) in both {
            let parent = host.notification(id).await;
            assert_eq!(parent.status, 200, "{message} is lost: {parent:?}");
            assert_eq!(parent.json["status"], "delivered", "{parent:?}");
            let branches = parent.json["channels"].as_array().unwrap();
            let names: Vec<_> = branches.iter().map(|branch| &branch["channel"]).collect();
            assert_eq!(names, ["webhook", THIRD], "{parent:?}");
            for (branch, path) in branches.iter().zip(["/hook", "/third"]) {
                let [child] = branch["notifications"].as_array().unwrap().as_slice() else {
                    panic!("one notification for each channel: {parent:?}");
                };
                let id = child["id"].as_str().unwrap().to_owned();
                assert_eq!(listed[&id].status, "delivered", "{parent:?}");
                let attempts = child["attempts"].as_array().unwrap();
                let count =
                    |word: &str| attempts.iter().filter(|one| one["outcome"] == word).count();
                assert_eq!(count("delivered"), 1, "it ended once: {child}");
                let taken = &taken[&format!("{path} {message}")];
                assert_eq!(taken.keys.len(), 1, "one delivery key: {taken:?} {child}");
                self.interrupted += count("lost");
                self.failures += count("retry");
                self.arrived(taken, count("lost"), child);
                assert!(children.insert(id), "a child of two parents: {parent:?}");
            }
            self.both += 1;
        }
        children
    }

    /// What arrived of a key arrived in the order of acceptance; one that came again, before the next.
    pub(super) fn ordered(
        &mut self,
        listed: &BTreeMap<String, Listed>,
        accepted: &BTreeMap<String, String>,
        arrived: &[String],
    ) {
        let ordered = |(_, message): &(&String, &String)| Kind::of(message) == Kind::Ordered;
        let place: BTreeMap<&str, usize> = accepted
            .iter()
            .filter(ordered)
            .map(|(id, message)| (message.as_str(), listed[id].place))
            .collect();
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for message in arrived {
            let key = key_of(message);
            let before = last.insert(key, message);
            if let Some(before) = before {
                // The newest is listed first.
                assert!(
                    place[message.as_str()] <= place[before],
                    "{message} arrived after {before}, which was accepted later"
                );
            }
        }
        self.ordered = place.len();
    }

    /// What was purged is gone, and the trail knows that it was there and who removed it.
    pub(super) async fn purged(
        &mut self,
        host: &TestHost,
        purged: &BTreeMap<String, String>,
        listed: &BTreeMap<String, Listed>,
    ) {
        let mut events: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut after = 0;
        loop {
            let path = format!("/admin/audit?after={after}");
            let page = host.call("GET", &path).key(KEY_ADMIN).send().await;
            assert_eq!(page.status, 200, "{page:?}");
            let Some(last) = page.text.lines().last() else { break };
            after = serde_json::from_str::<Value>(last).unwrap()["seq"].as_i64().unwrap();
            for line in page.text.lines() {
                let line: Value = serde_json::from_str(line).unwrap();
                if let Some(id) =
                    line["notification"].as_str().filter(|id| purged.contains_key(*id))
                {
                    let kind = line["kind"].as_str().unwrap().to_owned();
                    events.entry(id.to_owned()).or_default().push(kind);
                }
            }
        }
        for (id, message) in purged {
            assert!(!listed.contains_key(id), "{message} is listed");
            let gone = host.notification(id).await;
            assert_eq!(gone.status, 404, "{message} is there: {gone:?}");
            let mut kinds = events.remove(id).unwrap_or_default();
            kinds.retain(|kind| kind != "lost" && kind != "retrying");
            assert_eq!(kinds, ["accepted", "dead", "purged"], "{message}");
            self.purged += 1;
        }
    }
}

/// The ordering key of a message: what stands between its kind and its number.
pub(super) fn key_of(message: &str) -> &str {
    message.split('/').nth(1).unwrap()
}
