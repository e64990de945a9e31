//! Guests that break off.

use super::arena::{all_are_contained, attack, of};
use crate::kit::{Folder, TestHost, fixture};

#[tokio::test]
async fn whoever_breaks_off_ends_its_own_instance_and_nothing_else() {
    let host = all_are_contained(vec![
        attack("trap").stopped_by("trap"),
        attack("abort").stopped_by("trap"),
        attack("exit").stopped_by("trap"),
        attack("recursion").stopped_by("stack_limit"),
        of("crash", fixture("crash")).stopped_by("trap"),
    ])
    .await;
    host.logged(&["panicked at", "as the option says"]).await;
}

/// The channel `guest` of an idea, tried once.
async fn guest(idea: &str) -> TestHost {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("hostile")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"");
    folder.channel(
        "guest",
        &format!("[channel.options]\nidea = \"{idea}\"\n[channel.retry]\nattempts = 1"),
    );
    TestHost::start(folder).await
}

#[tokio::test]
async fn after_a_trap_the_next_message_gets_an_instance_that_knows_nothing_of_it() {
    let host = guest("half_done").await;
    for calls in ["1 0", "2 0"] {
        assert_eq!(host.send("guest", "fine").await.json["providerId"], calls);
    }
    host.send("guest", "break").await.assert_problem(424, "delivery-failed");
    assert_eq!(host.send("guest", "fine").await.json["providerId"], "1 0");
}

#[tokio::test]
async fn one_poisonous_message_is_given_up_and_the_others_of_the_channel_arrive() {
    let host = guest("poison").await;
    for n in 0..3 {
        let answer = host.send("guest", "a poison for it").await;
        answer.assert_problem(424, "delivery-failed");
        assert_eq!(answer.json["outcome"], "crashed", "{answer:?}");
        let answer = host.send("guest", &format!("message {n}")).await;
        assert_eq!(
            (answer.status, &answer.json["providerId"]),
            (200, &"well".into()),
            "{answer:?}"
        );
    }
    assert_eq!(host.health().await["unwell"], serde_json::Value::Null);
}
