//! Guests that say or keep more than anybody wants to read.

use serde_json::Value;

use super::arena::{all_are_contained, attack};

#[tokio::test]
async fn what_a_guest_prints_is_cut_and_its_message_delivered() {
    let cut = |idea| attack(idea).answered("done").counts("log_lines_dropped_total", "", 9_000.0);
    let host = all_are_contained(vec![
        cut("log_flood"),
        cut("stdout_flood"),
        cut("stderr_flood"),
        attack("endless_line").answered("done"),
    ])
    .await;
    let bytes: usize =
        host.log().iter().filter(|line| line.contains("flood")).map(String::len).sum();
    // Six calls of each of the three floods, 16 KiB a call, and the host's own words around each
    // line. Uncut it would be twenty megabytes.
    assert!(bytes < 2 << 20, "{bytes} bytes of floods are in the log");
}

#[tokio::test]
async fn no_line_of_a_guest_looks_like_one_of_the_host() {
    let host =
        all_are_contained(vec![attack("forged_log").named("impostor").answered("allowed")]).await;
    let lines = host.log();
    let forged: Vec<&String> = lines.iter().filter(|line| line.contains("forged")).collect();
    assert!(forged.len() >= 3, "{lines:?}");
    for line in lines.iter() {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        let json: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if line.contains("forged") {
            assert_eq!(json["target"], "plugin", "{line}");
            assert_eq!(json["plugin"], "impostor", "{line}");
        }
    }
}

#[tokio::test]
async fn the_state_of_a_channel_takes_what_it_may_and_no_more() {
    all_are_contained(vec![
        attack("state_keys").answered("64").counts(
            "guest_refusals_total",
            "what=\"state\"",
            9_000.0,
        ),
        // 64 KiB, less what the keys take.
        attack("state_bytes").answered("63").counts(
            "guest_refusals_total",
            "what=\"state\"",
            900.0,
        ),
        attack("ballast").options(&format!("ballast = {{ {} }}", ballast())).answered("10000"),
    ])
    .await;
}

fn ballast() -> String {
    (0..10_000).map(|n| format!("k{n} = \"v\"")).collect::<Vec<_>>().join(", ")
}
