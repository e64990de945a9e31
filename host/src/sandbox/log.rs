//! What a guest says: its `log` calls, standard output and standard error, as lines in the host's
//! log with tenant, channel, plugin, digest and notification, and with a bound on everything.

use std::{
    fmt::Write as _,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use crate::{egress::BindingEgress, limits};

/// Whose lines they are.
#[derive(Debug)]
pub(super) struct Speaker {
    pub(super) tenant: String,
    pub(super) channel: String,
    pub(super) plugin: String,
    /// The first half of the digest: enough to tell two files apart.
    pub(super) digest: String,
}

/// Where one instance's lines go. Cheap to clone; the clones share their budget.
#[derive(Clone)]
pub(super) struct LogSink(Arc<Shared>);

struct Shared {
    speaker: Arc<Speaker>,
    egress: Option<Arc<BindingEgress>>,
    call: Mutex<Call>,
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped_lines: AtomicU64,
}

/// What was said since this was last asked.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Logged {
    /// Lines, those that were dropped included.
    pub(super) lines: u64,
    /// Bytes of those that were kept.
    pub(super) bytes: u64,
    /// Lines that were dropped.
    pub(super) dropped: u64,
}

#[derive(Default)]
struct Call {
    notification: String,
    bytes: usize,
    told: bool,
}

/// How loud a line is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl LogSink {
    pub(super) fn new(speaker: Arc<Speaker>, egress: Option<Arc<BindingEgress>>) -> Self {
        Self(Arc::new(Shared {
            speaker,
            egress,
            call: Mutex::default(),
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped_lines: AtomicU64::new(0),
        }))
    }

    /// A new call begins, with a new budget.
    pub(super) fn begin(&self, notification: &str) {
        let mut call = self.0.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.notification.clear();
        call.notification.push_str(notification);
        call.bytes = 0;
        call.told = false;
    }

    /// What follows is about this notification.
    pub(super) fn speak_of(&self, notification: &str) {
        let mut call = self.0.call.lock().unwrap_or_else(PoisonError::into_inner);
        if call.notification != notification {
            call.notification.clear();
            call.notification.push_str(notification);
        }
    }

    /// What was said since this was last asked.
    pub(super) fn take_logged(&self) -> Logged {
        let lines = self.0.lines.load(Ordering::Relaxed);
        if lines == 0 {
            return Logged::default();
        }
        self.0.lines.store(0, Ordering::Relaxed);
        Logged {
            lines,
            bytes: self.0.bytes.swap(0, Ordering::Relaxed),
            dropped: self.0.dropped_lines.swap(0, Ordering::Relaxed),
        }
    }

    /// Writes one line.
    pub(super) fn line(
        &self,
        level: Level,
        source: &str,
        message: &str,
        fields: &[(String, String)],
    ) {
        self.0.lines.fetch_add(1, Ordering::Relaxed);
        if !enabled(level) {
            return;
        }
        // A guest may have been granted a secret's value, and a panic message may carry it.
        let mut text = self.clean(message, limits::LOG_LINE_BYTES_MAX);
        for (name, value) in fields.iter().take(limits::LOG_FIELDS_MAX) {
            let left = limits::LOG_LINE_BYTES_MAX.saturating_sub(text.len());
            let name = self.clean(name, left);
            if left < name.len() + 4 {
                break;
            }
            let value = self.clean(value, left - name.len() - 4);
            // Writing to a String does not fail.
            let _infallible = write!(text, " {name}={value:?}");
        }
        let mut call = self.0.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.bytes += text.len();
        if call.bytes > limits::LOG_CALL_BYTES_MAX {
            self.0.dropped_lines.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(&mut call.told, true) {
                self.emit(
                    Level::Warn,
                    "host",
                    "more log output than one call may write: cut off",
                    &call,
                );
            }
            return;
        }
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        self.0.bytes.fetch_add(length, Ordering::Relaxed);
        self.emit(level, source, &text, &call);
    }

    /// The beginning of `text` without secrets.
    fn clean(&self, text: &str, bytes_max: usize) -> String {
        match &self.0.egress {
            Some(egress) => egress.vault().scrub_cut(text, bytes_max),
            None => cut(text, bytes_max).to_owned(),
        }
    }

    /// How much of a line must be at hand so that no secret in what is shown is halved.
    fn line_bytes(&self) -> usize {
        let longest = self.0.egress.as_ref().map_or(0, |egress| egress.vault().longest());
        limits::LOG_LINE_BYTES_MAX.saturating_add(longest)
    }

    fn emit(&self, level: Level, source: &str, text: &str, call: &Call) {
        let Speaker { tenant, channel, plugin, digest } = &*self.0.speaker;
        let notification = call.notification.as_str();
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(
                    target: "plugin", tracing::Level::$level,
                    tenant, channel, plugin, digest, notification, source, "{text}"
                )
            };
        }
        match level {
            Level::Trace => event!(TRACE),
            Level::Debug => event!(DEBUG),
            Level::Info => event!(INFO),
            Level::Warn => event!(WARN),
            Level::Error => event!(ERROR),
        }
    }
}

fn enabled(level: Level) -> bool {
    match level {
        Level::Trace => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
        Level::Debug => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        Level::Info => tracing::enabled!(target: "plugin", tracing::Level::INFO),
        Level::Warn => tracing::enabled!(target: "plugin", tracing::Level::WARN),
        Level::Error => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
    }
}

/// The longest beginning of `text` that has at most `bytes_max` bytes and ends with a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

/// A guest's standard output or error: bytes in, lines out.
pub(super) struct LineStream {
    sink: LogSink,
    level: Level,
    source: &'static str,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl LineStream {
    pub(super) fn new(sink: LogSink, level: Level, source: &'static str) -> Self {
        Self { sink, level, source, partial: Arc::default() }
    }

    fn copy(&self) -> Self {
        Self {
            sink: self.sink.clone(),
            level: self.level,
            source: self.source,
            partial: Arc::clone(&self.partial),
        }
    }

    fn take(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (line, complete) = match piece.strip_suffix(b"\n") {
                Some(line) => (line, true),
                None => (piece, false),
            };
            let room = self.sink.line_bytes().saturating_sub(partial.len());
            partial.extend_from_slice(line.get(..room.min(line.len())).unwrap_or(line));
            if complete {
                let text = String::from_utf8_lossy(&partial);
                self.sink.line(self.level, self.source, &text, &[]);
                partial.clear();
            }
        }
    }
}

impl IsTerminal for LineStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.copy())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.copy())
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[async_trait::async_trait]
impl Pollable for LineStream {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for LineStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(limits::LOG_CALL_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abc", 10), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("aä", 2), "a");
        assert_eq!(cut("ä", 1), "");
    }
}
