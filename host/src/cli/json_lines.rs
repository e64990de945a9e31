//! A log line as a JSON object. The `log` channel writes one for every notification, so this is on
//! the path of a message: it is written straight into the line, not by way of a serializer.

use std::fmt::{self, Debug, Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

/// Timestamp, level, the event's fields at the top level, target. Spans are not shown: there are
/// none of ours.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let mut fields = Fields { writer: &mut writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_str(",\"target\":\"")?;
        Escaped(&mut writer).write_str(event.metadata().target())?;
        writer.write_str("\"}\n")
    }
}

/// Writes fields as members, each with its comma before it.
struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn member(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.try_member(field, value);
        }
    }

    fn try_member(
        &mut self,
        field: &Field,
        value: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.writer.write_str(",\"")?;
        Escaped(self.writer).write_str(field.name())?;
        self.writer.write_str("\":")?;
        value(self.writer)
    }

    fn text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.member(field, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_fmt(value)?;
            writer.write_char('"')
        });
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field, format_args!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field, |writer| write!(writer, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.member(field, |writer| write!(writer, "{value}"));
        } else {
            // JSON has no such number.
            self.text(field, format_args!("{value}"));
        }
    }
}

/// What a terminal obeys, or turns other text around with, and nobody sees: C0 and C1 control
/// characters (ECMA-48) and the overrides of the bidirectional algorithm (Unicode UAX #9). Whoever
/// writes a log line must not move the reader's cursor with it.
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes text as the inside of a JSON string (RFC 8259, section 7), and what is hidden as escapes.
struct Escaped<'a, W>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // C1 begins with the byte 0xc2, the overrides with 0xe2, and so do others, which are let
        // through below.
        let is_special =
            |byte: u8| byte < 0x20 || matches!(byte, b'"' | b'\\' | 0x7f | 0xc2 | 0xe2);
        let mut rest = text;
        while let Some(at) = rest.bytes().position(is_special) {
            // No such byte is inside of a character, so this is the border of one.
            let (plain, special) = rest.split_at_checked(at).ok_or(fmt::Error)?;
            let mut characters = special.chars();
            self.0.write_str(plain)?;
            match characters.next() {
                Some('"') => self.0.write_str("\\\"")?,
                Some('\\') => self.0.write_str("\\\\")?,
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                Some(hidden) if is_hidden(hidden) => {
                    write!(self.0, "\\u{:04x}", u32::from(hidden))?;
                }
                Some(shown) => self.0.write_char(shown)?,
                None => {}
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

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
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLines)
            .with_writer(move || writer.clone())
            .finish();
        let nasty = "a \"quote\" \\ a\nline\u{1b}[31m \u{7f}\u{9b} ü © — 🎉 \u{202e} \0";
        tracing::subscriber::with_default(subscriber, || {
            let error = io::Error::other("broken \"pipe\"");
            tracing::warn!(
                target: "plugin", tenant = nasty, count = 3_u64, left = -1_i64, ratio = 0.5,
                none = f64::NAN, yes = true, debug = ?["x"],
                error = &error as &(dyn std::error::Error + 'static), "said {nasty}"
            );
            tracing::info!("second");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert!(!text.replace('\n', "").contains(is_hidden), "{text:?}");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = &lines[0];
        assert_eq!(lines.len(), 2);
        assert_eq!(line["tenant"], nasty);
        assert_eq!(line["message"], format!("said {nasty}"));
        assert_eq!((&line["count"], &line["left"]), (&3.into(), &(-1).into()));
        assert_eq!((&line["ratio"], &line["none"]), (&0.5.into(), &"NaN".into()));
        assert_eq!((&line["yes"], &line["debug"]), (&true.into(), &"[\"x\"]".into()));
        assert_eq!(line["error"], "broken \"pipe\"");
        assert_eq!((&line["level"], &line["target"]), (&"WARN".into(), &"plugin".into()));
        let at = line["timestamp"].as_str().unwrap();
        assert!(crate::clock::UnixMs::parse_rfc3339(at).is_ok(), "{at}");
    }
}
