//! Plugins that take the room of others: many instances, each of many memories, all of which hang.

use serde_json::json;

use super::{
    arena::is_whole,
    modules::{NOTHING, Parts, module, plugin_with},
    neighbour::{self, Neighbour},
};
use crate::kit::{Folder, KEY_B, TENANT_B, TestHost, eventually, fixture};

/// As many as one component may have.
const MEMORIES: usize = 16;
/// Slots for instances that one tenant may take.
const OF_ONE_TENANT: usize = 2_000;
const LIVE: &str = "conductor_instances_live{plugin=\"wide\"}";

#[tokio::test]
async fn a_tenant_whose_instances_all_hang_leaves_room_for_its_neighbours() {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    let memory = Parts { memories: vec![1], ..Parts::default() };
    let wide = plugin_with(&fixture("sleepy"), &module(&memory, NOTHING), MEMORIES - 1);
    std::fs::write(folder.file("wide.wasm"), wide).unwrap();
    folder.plugin("wide", "source = \"wide.wasm\"\n[plugin.limits]\ninstances_max = 400");
    folder.channel("wide", "[channel.options]\nms = 8000");
    folder.channels.push_str(&format!(
        "\n[[channel]]\nname = \"late\"\ntenant_id = \"{TENANT_B}\"\nchannel_type = \"log\"\n"
    ));
    let host = TestHost::start(folder).await;
    let neighbour = Neighbour::start(&host, provider);
    // More than there are memories for in the whole process.
    let message = json!({ "channel": "wide", "message": "takes its time" });
    for _ in 0..4 {
        let batch = json!(vec![message.clone(); 100]);
        let call = host.call("POST", "/notifications/batch").key(crate::kit::KEY_A);
        let answer = call.json(&batch).send().await;
        assert!(answer.status < 300, "{answer:?}");
    }
    let most = (OF_ONE_TENANT / MEMORIES) as f64;
    eventually("the tenant has all that it may have", async || {
        (host.metric(LIVE).await >= most).then_some(())
    })
    .await;
    // Its first message: it needs an instance that there is not yet.
    let body = json!({ "channel": "late", "message": "still here?" });
    let answer = host.call("POST", "/notifications").key(KEY_B).json(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(host.metric(LIVE).await <= most);
    for kind in ["start", "trap", "memory"] {
        let faults = format!("conductor_guest_faults_total{{plugin=\"wide\",kind=\"{kind}\"}}");
        assert_eq!(host.metric(&faults).await, 0.0, "{kind}");
    }
    neighbour.was_well().await;
    is_whole(&host).await;
}
