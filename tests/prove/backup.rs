//! Backups that are taken while the host is at work, and what they bring back.

use std::{path::Path, process::Output};

use crate::{
    kit::{Folder, KEY_A, TestHost, conductor},
    power::{Load, Size},
    settings,
};

const NAME: &str = "backup under load";

fn say(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{:?} {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// `conductor backup --to FILE` or `conductor restore --from FILE`, to its end.
fn copy(folder: &Folder, command: &str, option: &str, file: &Path) {
    let mut conductor = conductor(folder);
    conductor.args([command, option]).arg(file).arg("--data-dir").arg(folder.data());
    let output = conductor.output().unwrap();
    assert!(output.status.success(), "{command}: {}", say(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_brings_back_everything_acknowledged_before_it() {
    let place = tempfile::tempdir().unwrap();
    let mut host = TestHost::start(Folder::new()).await;
    let load = Load::on(&host, Size::Small);
    let mut backups = Vec::new();
    for number in 0..settings::rounds_by(40, 2) {
        load.reaches(load.acknowledged() + 100).await;
        let known = load.ids();
        let file = place.path().join(format!("backup-{number}.db"));
        copy(&host, "backup", "--to", &file);
        backups.push((file, known));
    }
    load.reaches(load.acknowledged() + 100).await;
    host.kill().await;
    let last = load.stop().await.pop().unwrap();

    let mut ids = 0;
    for (file, known) in &backups {
        let folder = Folder::new();
        folder.write();
        copy(&folder, "restore", "--from", file);
        let host = TestHost::start(folder).await;
        for id in known {
            host.reaches(id, "delivered").await;
        }
        assert_eq!(
            host.notification(&last).await.status,
            404,
            "it is not the backup that was read"
        );
        agree(&host).await;
        ids += known.len();
    }
    let figures = format!("{} backups, {ids} ids acknowledged before them, 0 lost", backups.len());
    settings::proved(NAME, figures);
}

/// The counters say what the list says, and nothing is left to do.
async fn agree(host: &TestHost) {
    let queue = &host.health().await["queue"];
    let live = ["queued", "sending", "retrying"].map(|state| queue[state].as_u64().unwrap());
    assert_eq!(live, [0, 0, 0], "{queue}");
    let mut listed = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/notifications?limit=200&cursor={cursor}");
        let page = host.call("GET", &path).key(KEY_A).send().await.json;
        listed += page["items"].as_array().unwrap().len();
        match page["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(queue["delivered"].as_u64().unwrap(), listed as u64);
}
