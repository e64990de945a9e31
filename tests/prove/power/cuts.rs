//! The cuts themselves, in a run under load and in a start after another cut.

use std::{collections::BTreeMap, fs};

use super::{
    Recording, after_the_cut,
    disk::{Disk, Unsynced},
    load::Size,
    losses,
    parse::{self, Event},
    record,
    strace::{self, Trace},
};
use crate::{
    kit::{Folder, TestHost},
    settings,
};

/// Where to cut: by chance, right after answers (when the newest promise is youngest), and while the
/// log is being copied into the database.
fn moments(events: &[Event], count: usize, chances: &mut fastrand::Rng) -> Vec<usize> {
    let after = |wanted: &dyn Fn(&Event) -> bool| -> Vec<usize> {
        (0..events.len()).filter(|at| wanted(&events[*at])).map(|at| at + 1).collect()
    };
    let answers = after(&|event| matches!(event, Event::Told { .. }));
    let copies = after(&|event| matches!(event, Event::Written { file, .. } if file == "queue.db"));
    let any: Vec<usize> = (1..=events.len()).collect();
    let mut moments = vec![events.len()];
    for number in 1..count {
        let from = [&answers, &any, &copies][number % 3];
        moments.extend(chances.choice(if from.is_empty() { &any } else { from }));
    }
    moments.sort_unstable();
    moments.dedup();
    moments
}

/// The figures of many cuts.
#[derive(Debug, Default)]
struct Tally {
    moments: usize,
    cuts: usize,
    /// Cuts after which something was missing or broken, and the first of each way.
    bad: BTreeMap<String, Vec<String>>,
    bad_cuts: usize,
    told: usize,
}

/// Cuts the power at `count` moments, in each way.
async fn cut(
    recording: &Recording,
    count: usize,
    ways: &[Unsynced],
    chances: &mut fastrand::Rng,
) -> Tally {
    let mut tally = Tally { told: recording.told().len(), ..Tally::default() };
    let mut disk = recording.before.clone();
    let mut done = 0;
    for moment in moments(&recording.events, count, chances) {
        for event in &recording.events[done..moment] {
            disk.happens(event);
        }
        done = moment;
        let told = recording.told_at(moment);
        tally.moments += 1;
        for way in ways {
            let folder = after_the_cut(&disk, *way, chances);
            let wrong = losses(folder.path(), &told).await;
            tally.cuts += 1;
            if !wrong.is_empty() {
                tally.bad_cuts += 1;
                let what = format!("{way:?} at event {moment} of {}", recording.events.len());
                tally.bad.insert(what, wrong.into_iter().take(5).collect());
            }
        }
    }
    tally
}

fn count_of(events: &[Event], wanted: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| wanted(event)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_power_cut_at_any_moment() {
    const NAME: &str = "power cut";
    if let Some(why) = strace::missing() {
        return settings::skipped(NAME, &why);
    }
    let mut chances = settings::chances(NAME);
    let mut total = Tally::default();
    let recordings = settings::rounds_by(20, 2);
    for number in 0..recordings {
        // Large messages fill the log, so that it is copied into the database under load.
        let (size, enough) = if number % 2 == 0 { (Size::Large, 200) } else { (Size::Small, 300) };
        // A disk that takes its time: whoever answers before the sync is over is found out.
        let slow = (number % 2 == 1).then_some("fsync,fdatasync:delay_enter=5000");
        let recording = record(Folder::new(), size, enough, number % 4 < 2, slow).await;
        let events = &recording.events;
        let syncs = count_of(events, |event| matches!(event, Event::Synced { .. }));
        assert!(syncs > 10, "{syncs} syncs only: is it recorded?");
        let copied =
            |event: &Event| matches!(event, Event::Written { file, .. } if file == "queue.db");
        assert!(size == Size::Small || count_of(events, copied) > 0, "the log was never copied");
        let tally = cut(&recording, 9, &Unsynced::EVERY, &mut chances).await;
        assert!(tally.bad.is_empty(), "{:#?}", tally.bad);
        total.moments += tally.moments;
        total.cuts += tally.cuts;
        total.told += tally.told;
    }
    let Tally { moments, cuts, told, .. } = total;
    let figures = format!(
        "{recordings} recordings, {told} acknowledged ids, {moments} moments, {cuts} cuts, 0 with a loss"
    );
    settings::proved(NAME, figures);
}

/// The host that was built, with one word of its settings changed.
fn with_synchronous_normal(folder: &Folder) -> std::path::PathBuf {
    let full: &[u8] = b"PRAGMA synchronous=FULL;";
    let normal: &[u8] = b"PRAGMA synchronous=1   ;";
    let mut binary = fs::read(env!("CARGO_BIN_EXE_conductor")).unwrap();
    let places: Vec<_> = memchr::memmem::find_iter(&binary, full).collect();
    assert!(
        !places.is_empty(),
        "the store's setting is written in another way: change it here too"
    );
    for place in places {
        binary[place..place + full.len()].copy_from_slice(normal);
    }
    let path = folder.file("conductor-normal");
    fs::write(&path, binary).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_cut_simulator_sees_the_losses_of_synchronous_normal() {
    const NAME: &str = "power cut, negative control";
    if let Some(why) = strace::missing() {
        return settings::skipped(NAME, &why);
    }
    let mut chances = settings::chances(NAME);
    let mut folder = Folder::new();
    folder.binary = Some(with_synchronous_normal(&folder));
    let recording = record(folder, Size::Small, 200, false, None).await;
    let ways = [Unsynced::None, Unsynced::Half, Unsynced::First, Unsynced::Torn];
    let tally = cut(&recording, 6, &ways, &mut chances).await;
    assert!(
        tally.bad_cuts * 2 > tally.cuts,
        "{} of {} cuts lost something: the simulator does not see losses",
        tally.bad_cuts,
        tally.cuts
    );
    // It is this loss that NORMAL is known for, and no other damage that the simulator might do.
    let known = |wrong: &String| wrong.ends_with("is not known") || wrong.contains("was delivered");
    assert!(tally.bad.values().flatten().all(known), "{:#?}", tally.bad);
    let all = cut(&recording, 3, &[Unsynced::All], &mut chances).await;
    assert!(all.bad.is_empty(), "with every write kept there is nothing to lose: {:#?}", all.bad);
    let Tally { bad_cuts, cuts, told, .. } = tally;
    let figures =
        format!("{told} acknowledged ids, {bad_cuts} of {cuts} cuts lost some, as they must");
    settings::proved(NAME, figures);
}

/// A host's folder with what a power cut left.
fn folder_after_the_cut(disk: &Disk, way: Unsynced, chances: &mut fastrand::Rng) -> Folder {
    let left = after_the_cut(disk, way, chances);
    let folder = Folder::new();
    fs::create_dir_all(folder.data()).unwrap();
    for file in fs::read_dir(left.path()).unwrap().map(|file| file.unwrap()) {
        fs::rename(file.path(), folder.data().join(file.file_name())).unwrap();
    }
    folder
}

/// The whole program on what is left, not only its store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_starts_after_a_power_cut_and_finishes_what_it_had_accepted() {
    const NAME: &str = "start after a power cut";
    if let Some(why) = strace::missing() {
        return settings::skipped(NAME, &why);
    }
    let mut chances = settings::chances(NAME);
    let recording = record(Folder::new(), Size::Small, 100, false, None).await;
    let told = recording.told();
    for way in [Unsynced::None, Unsynced::Torn] {
        let folder = folder_after_the_cut(&recording.disk(), way, &mut chances);
        let host = TestHost::start(folder).await;
        for id in told.keys() {
            host.reaches(id, "delivered").await;
        }
        assert_eq!(host.health().await["store"], "ok");
    }
    settings::proved(NAME, format_args!("{} acknowledged ids, all delivered after it", told.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_power_cut_during_the_start_after_the_first_loses_nothing() {
    const NAME: &str = "second power cut";
    if let Some(why) = strace::missing() {
        return settings::skipped(NAME, &why);
    }
    let mut chances = settings::chances(NAME);
    let first = record(Folder::new(), Size::Small, 100, false, None).await;
    let mut cuts = 0;
    for way in [Unsynced::None, Unsynced::First, Unsynced::Torn] {
        let mut folder = folder_after_the_cut(&first.disk(), way, &mut chances);
        let before = Disk::of(&folder.data());
        let trace = Trace::to(folder.file("trace"));
        folder.tracer = trace.command(None);
        let mut host = TestHost::start(folder).await;
        host.kill().await;
        trace.complete().await;
        let events = parse::events(&trace.file, &host.data());
        let recovered = |event: &Event| matches!(event, Event::Written { .. });
        assert!(count_of(&events, recovered) > 0, "nothing was written at the start");
        let second = Recording { before, told: first.told(), events };
        let tally = cut(&second, 6, &Unsynced::EVERY, &mut chances).await;
        assert!(tally.bad.is_empty(), "{:#?}", tally.bad);
        cuts += tally.cuts;
    }
    let told = first.told().len();
    settings::proved(NAME, format_args!("{told} acknowledged ids, {cuts} cuts, 0 with a loss"));
}
