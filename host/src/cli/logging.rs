//! The log: lines for people on a terminal, JSON lines for programs everywhere else. RUST_LOG
//! chooses what is logged.

use std::{
    fmt::{self, Debug},
    io::{self, IsTerminal as _},
};

use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter,
    field::MakeExt as _,
    fmt::format::{Writer, debug_fn},
};

use super::json_lines::{JsonLines, is_hidden};

/// Starts logging to standard error.
pub(super) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start (in tests of the library) keeps the first.
    let _started = if io::stderr().is_terminal() {
        let builder = builder.with_ansi(super::console::is_coloured()).with_target(false).compact();
        builder.fmt_fields(debug_fn(one_line).delimited(" ")).try_init()
    } else {
        builder.event_format(JsonLines).try_init()
    };
}

/// Writes a field so that it stays on its line: what a plugin or a provider says is in there, and
/// must not look like a line of the host.
fn one_line(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for character in format!("{value:?}").chars() {
        if is_hidden(character) {
            write!(writer, "{}", character.escape_default())?;
        } else {
            writer.write_char(character)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_people_is_one_line_whatever_is_in_it() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .compact()
            .fmt_fields(debug_fn(one_line).delimited(" "))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(code = "a\nERROR b", "said\r\nERROR forged\u{9b}2J\u{202e}");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let expected = "said\\r\\nERROR forged\\u{9b}2J\\u{202e} code=\"a\\nERROR b\"";
        assert_eq!(text.trim(), format!("INFO {expected}"));
    }
}
