//! Faults of the disk, put into the running host by `strace`: syncs and writes that fail. What was
//! acknowledged must be on the disk by then, and must stay there.

use super::{
    Recording, Told, after_the_cut,
    disk::{Disk, Unsynced},
    load::{Load, Size},
    losses, parse,
    strace::{self, Trace},
    used,
};
use crate::{
    kit::{Folder, TestHost},
    settings,
};

/// How a host took a fault.
struct Taken {
    code: Option<i32>,
    stderr: String,
    acknowledged: usize,
}

/// Runs a host with `fault` under load until it ends by itself. Checks that everything which was
/// acknowledged was on the disk when the power goes at the end, though the caches of what failed
/// are lost with it, and on the folder as it is.
async fn ends_by(fault: &str, size: Size) -> Taken {
    let mut chances = settings::chances(fault);
    let mut folder = used(Folder::new()).await;
    let before = Disk::of(&folder.data());
    let trace = Trace::to(folder.file("trace"));
    folder.tracer = trace.command(Some(fault));
    let mut host = TestHost::start(folder).await;
    let load = Load::on(&host, size);
    let ended = host.exit().await;
    let acknowledged = load.stop().await;
    trace.complete().await;
    let text = std::fs::read(&trace.file).unwrap();
    assert!(memchr::memmem::find(&text, b"(INJECTED)").is_some(), "nothing was injected");

    let events = parse::events(&trace.file, &host.data());
    let recording = Recording { before, told: Told::new(), events };
    let (disk, told) = (recording.disk(), recording.told());
    for way in [Unsynced::None, Unsynced::Half, Unsynced::Torn] {
        let left = after_the_cut(&disk, way, &mut chances);
        let wrong = losses(left.path(), &told).await;
        assert!(wrong.is_empty(), "{fault}: {way:?}: {wrong:?}");
    }

    host.tracer.clear();
    let host = host.restart().await;
    for id in &acknowledged {
        host.reaches(id, "delivered").await;
    }
    Taken { code: ended.code, stderr: ended.stderr, acknowledged: acknowledged.len() }
}

/// A fault that the host must not survive: at the first moment given, and in a long run at others by
/// chance, some of them while the log is copied into the database.
async fn is_the_end(calls: &str, error: &str, first: u64, how_often: &str) {
    let name = format!("{calls} {error}{how_often}");
    if let Some(why) = strace::missing() {
        return settings::skipped(&name, &why);
    }
    let mut chances = settings::chances(&name);
    let rounds = settings::rounds_by(20, 1);
    let mut total = 0;
    for round in 0..rounds {
        let when = if round == 0 { first } else { chances.u64(first / 2..first * 8) };
        let size = if round % 2 == 0 { Size::Small } else { Size::Large };
        let fault = format!("{calls}:error={error}:when={when}{how_often}");
        let Taken { code, stderr, acknowledged } = ends_by(&fault, size).await;
        assert_eq!(code, Some(1), "{fault}: {stderr}");
        assert!(stderr.contains("the store failed"), "{fault}: {stderr}");
        // A chance may come inside the first transaction, which all callers of that moment share.
        assert!(acknowledged > 0 || round > 0, "{fault}: it came before anything was acknowledged");
        total += acknowledged;
    }
    let figures = format!("{rounds} faults, ended with 1 each time, {total} acknowledged, 0 lost");
    settings::proved(&name, figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_the_host_and_nothing_acknowledged_is_lost() {
    is_the_end("fsync,fdatasync", "EIO", 30, "+").await;
}

/// The dangerous one: after a failed sync the next one says that all is well, and the data is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_once_is_not_tried_again_and_nothing_acknowledged_is_lost() {
    is_the_end("fsync,fdatasync", "EIO", 30, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_ends_the_host_and_nothing_acknowledged_is_lost() {
    is_the_end("pwrite64", "EIO", 400, "+").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_once_is_not_tried_again_and_nothing_acknowledged_is_lost() {
    is_the_end("pwrite64", "EIO", 400, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_without_room_are_refused_with_retry_after_until_there_is_room_again() {
    const FAULT: &str = "pwrite64:error=ENOSPC:when=400..410";
    if let Some(why) = strace::missing() {
        return settings::skipped(FAULT, &why);
    }
    let mut folder = used(Folder::new()).await;
    let trace = Trace::to(folder.file("trace"));
    folder.tracer = trace.command(Some(FAULT));
    let host = TestHost::start(folder).await;
    let load = Load::on(&host, Size::Small);
    crate::kit::eventually("a caller is refused", async || (load.refused() > 0).then_some(()))
        .await;
    host.logged(&["nothing new is accepted"]).await;
    host.logged(&["there is room for the store again"]).await;
    let before = load.acknowledged();
    load.reaches(before + 50).await;
    assert_eq!(host.health().await["store"], "ok");
    let acknowledged = load.stop().await;
    // What could not be written down as delivered is delivered again when its lease has run out,
    // which is longer than a test should wait.
    for id in &acknowledged {
        assert_eq!(host.notification(id).await.status, 200);
    }
    let count = acknowledged.len();
    settings::proved(FAULT, format_args!("{count} acknowledged, 0 lost, resumed by itself"));
}
