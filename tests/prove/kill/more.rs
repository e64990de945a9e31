//! Whether it was kept what was promised of requests to two channels, of order, and of purging.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    THIRD,
    ledger::{Found, Kind, Listed},
    ranges::{gone, trail},
    receiver::Taken,
};
use crate::kit::TestHost;

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

    /// What was purged by its id.
    pub(super) async fn purged(
        &mut self,
        host: &TestHost,
        purged: &BTreeMap<String, String>,
        listed: &BTreeMap<String, Listed>,
    ) {
        let mut trail = trail(host, &purged.keys().collect()).await;
        for (id, message) in purged {
            gone(host, (id, message), listed, &mut trail).await;
            self.purged += 1;
        }
    }
}

/// The ordering key of a message: what stands between its kind and its number.
pub(super) fn key_of(message: &str) -> &str {
    message.split('/').nth(1).unwrap()
}
