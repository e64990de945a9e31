//! Reads what `strace` wrote.

use std::{
    collections::HashMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

/// Something that happened, in the order in which it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Bytes went into a file's cache.
    Written { file: String, offset: u64, data: Vec<u8> },
    /// A file has another length.
    Cut { file: String, length: u64 },
    /// Everything that was written to a file is on the disk.
    Synced { file: String },
    /// A sync said that it failed.
    NotSynced { file: String },
    /// A file is in the folder.
    Made { file: String },
    /// A file is not in the folder any more.
    Removed { file: String },
    /// Which files are in the folder is on the disk.
    FolderSynced,
    /// A caller begins to be told that a notification is accepted, or that it is delivered.
    Told { id: String, delivered: bool },
}

/// The events of the store's own files in `folder`, and the answers.
pub(crate) fn events(trace: &Path, folder: &Path) -> Vec<Event> {
    let folder = std::fs::canonicalize(folder).unwrap();
    let mut reader = Reader {
        folder: folder.to_str().unwrap().to_owned(),
        begun: HashMap::new(),
        events: Vec::new(),
    };
    for line in BufReader::new(File::open(trace).unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        reader.line(&line);
    }
    reader.events
}

struct Reader {
    folder: String,
    /// The beginning of a call that another thread's came in between of, by thread.
    begun: HashMap<String, String>,
    events: Vec<Event>,
}

impl Reader {
    fn line(&mut self, line: &str) {
        let Some((thread, call)) = line.split_once(' ') else { return };
        let call = call.trim_start();
        if let Some(rest) = call.strip_prefix("<... ") {
            let (_, rest) = rest.split_once(" resumed>").unwrap();
            let Some(begun) = self.begun.remove(thread) else { return };
            self.ended(&format!("{begun}{rest}"));
        } else if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            self.begins(begun);
            self.begun.insert(thread.to_owned(), begun.to_owned());
        } else {
            self.begins(call);
            self.ended(call);
        }
    }

    /// An answer counts from the moment that its first byte may leave.
    fn begins(&mut self, call: &str) {
        let Some((name @ ("write" | "writev" | "sendto"), arguments)) = call.split_once('(') else {
            return;
        };
        if !descriptor(arguments).is_some_and(|of| of.starts_with("TCP")) {
            return;
        }
        let text: String =
            quoted(arguments).map(|part| String::from_utf8_lossy(&part).into_owned()).collect();
        let Some(status) = text.strip_prefix("HTTP/1.1 ") else { return };
        let Some((_, after)) = text.split_once("\"id\":\"") else { return };
        if status.starts_with("200") || status.starts_with("202") {
            let id = after.split('"').next().unwrap().to_owned();
            assert_eq!(id.len(), 36, "{name}: {text}");
            let delivered = text.contains("\"status\":\"delivered\"");
            self.events.push(Event::Told { id, delivered });
        }
    }

    /// Files count when the call is over: until then it may have done nothing.
    fn ended(&mut self, call: &str) {
        let Some((name, arguments)) = call.split_once('(') else { return };
        let Some((arguments, result)) = arguments.rsplit_once(" = ") else { return };
        let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
        // The thread was killed in the middle of it.
        if result.starts_with('?') {
            return;
        }
        let worked = !result.starts_with('-');
        let event = match name {
            "pwrite64" if worked => self.written(arguments, result),
            "pwritev" | "pwritev2" | "write" | "writev" | "sync_file_range"
                if self.own(arguments).is_some() =>
            {
                panic!("the store is not known to use {name}: teach this test what it means")
            }
            "ftruncate" if worked => {
                self.own(arguments).map(|file| Event::Cut { file, length: last_number(arguments) })
            }
            "fsync" | "fdatasync" if descriptor(arguments).as_ref() == Some(&self.folder) => {
                worked.then_some(Event::FolderSynced)
            }
            "fsync" | "fdatasync" => self.own(arguments).map(|file| {
                if worked { Event::Synced { file } } else { Event::NotSynced { file } }
            }),
            "openat" if worked && arguments.contains("O_CREAT") => {
                self.named(arguments).map(|file| Event::Made { file })
            }
            "unlink" | "unlinkat" if worked => {
                self.named(arguments).map(|file| Event::Removed { file })
            }
            "rename" | "renameat" | "renameat2" if worked && self.named(arguments).is_some() => {
                panic!("the store is not known to rename its files")
            }
            _ => None,
        };
        self.events.extend(event);
    }

    fn written(&self, arguments: &str, result: &str) -> Option<Event> {
        let file = self.own(arguments)?;
        let mut data = quoted(arguments).next().unwrap();
        let written = result.split(' ').next().unwrap().parse().unwrap();
        assert!(written <= data.len(), "the trace has only the beginning: {} {result}", data.len());
        data.truncate(written);
        Some(Event::Written { file, offset: last_number(arguments), data })
    }

    /// The store's file behind the call's descriptor.
    fn own(&self, arguments: &str) -> Option<String> {
        self.file_of(&descriptor(arguments)?)
    }

    /// The store's file that the call names.
    fn named(&self, arguments: &str) -> Option<String> {
        // The first text is the path; what is in front of it is the folder that it may be relative to.
        let path = quoted(arguments).next()?;
        self.file_of(&String::from_utf8_lossy(&path))
    }

    /// The shared memory beside the log is made anew after a crash: it does not count.
    fn file_of(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.folder)?.strip_prefix('/')?;
        matches!(name, "queue.db" | "queue.db-wal" | "queue.db-journal").then(|| name.to_owned())
    }
}

/// What the first argument is a descriptor of.
fn descriptor(arguments: &str) -> Option<String> {
    let (number, rest) = arguments.split_once('<')?;
    number.parse::<i32>().ok()?;
    let end = if rest.starts_with("TCP") { rest.find("]>")? + 1 } else { rest.find('>')? };
    // Behind the path of a device its number stands as it is: `<\x2f…<char 1:3>>`.
    let text = rest[..end].split('<').next()?;
    Some(if text.starts_with("\\x") {
        String::from_utf8_lossy(&unhex(text)).into_owned()
    } else {
        text.to_owned()
    })
}

/// The texts among the arguments.
fn quoted(arguments: &str) -> impl Iterator<Item = Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unhex)
}

/// `\x61\x62` as bytes.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        other => panic!("{} is no digit", char::from(other)),
    };
    text.as_bytes().chunks_exact(4).map(|four| digit(four[2]) * 16 + digit(four[3])).collect()
}

fn last_number(arguments: &str) -> u64 {
    let text = arguments.rsplit(", ").next().unwrap();
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
