//! `conductor backup` and `conductor restore`.

use std::path::PathBuf;

use clap::Args;

use super::{ConfigDir, console, exit};
use crate::store::sqlite::{BackupError, Copied, backup, restore};

/// Where the queue is.
#[derive(Args, Debug)]
struct Place {
    #[command(flatten)]
    config: ConfigDir,
    /// Where the queue is kept [default: `data` in the config folder]
    #[arg(long, value_name = "DIR", env = "CONDUCTOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn queue(self) -> PathBuf {
        let data = self.data_dir.unwrap_or_else(|| self.config.config_dir.join("data"));
        data.join("queue.db")
    }
}

#[derive(Args, Debug)]
pub(super) struct BackupOptions {
    #[command(flatten)]
    place: Place,
    /// The file to write; it must not be there
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct RestoreOptions {
    #[command(flatten)]
    place: Place,
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Puts a queue that is there aside, as queue.db.replaced
    #[arg(long)]
    force: bool,
}

pub(super) fn run_backup(options: BackupOptions) -> u8 {
    let to = options.to;
    tell(backup(&options.place.queue(), &to), &format!("written to {}", to.display()))
}

pub(super) fn run_restore(options: RestoreOptions) -> u8 {
    let queue = options.place.queue();
    let restored = restore(&options.from, &queue, options.force);
    tell(restored, &format!("restored to {}; start the host to go on", queue.display()))
}

fn tell(result: Result<Copied, BackupError>, done: &str) -> u8 {
    match result {
        Ok(Copied { bytes, live, notifications }) => {
            console::out(&format!(
                "{notifications} notification(s), {live} of them live, {bytes} bytes: {done}"
            ));
            exit::OK
        }
        Err(error) => {
            console::complain(&format!("error: {error}"));
            exit::FAILURE
        }
    }
}
