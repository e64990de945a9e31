//! The lines of the protocol, over whatever stream: a command and its reply, TLS in the middle of a
//! connection, and the message with its end.

use std::{fmt, io};

use smtp_proto::{EhloResponse, response::parser::ResponseReceiver};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    time::{Instant, timeout_at},
};

use super::Reply;
use crate::limits;

/// A connection of any kind.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// One side of a conversation. After [`Broken`] there is no more use for it.
pub(super) struct Client {
    stream: BufReader<Box<dyn Duplex>>,
    /// What the server said to EHLO.
    pub(super) offers: EhloResponse<String>,
}

/// Why a conversation cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The server has closed the connection.
    Closed,
    /// No whole reply in time.
    TimedOut,
    /// The connection failed.
    Failed(io::Error),
    /// What came is no reply of SMTP, or too long.
    Garbage,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => formatter.write_str("it closed the connection"),
            Self::TimedOut => formatter.write_str("it did not answer in time"),
            Self::Failed(error) => write!(formatter, "the connection failed: {error}"),
            Self::Garbage => formatter.write_str("what it answered is not SMTP, or too long"),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Closed
        } else {
            Self::Failed(error)
        }
    }
}

/// No later than `deadline`, and as long as one reply may take.
fn patience(deadline: Instant) -> Instant {
    deadline.min(Instant::now() + limits::SMTP_REPLY_TIMEOUT)
}

impl Client {
    pub(super) fn new(stream: Box<dyn Duplex>) -> Self {
        Self { stream: BufReader::new(stream), offers: EhloResponse::default() }
    }

    /// The reply that the server has to begin with.
    pub(super) async fn greeting(&mut self, deadline: Instant) -> Result<Reply, Broken> {
        let raw = self.raw_reply(patience(deadline)).await?;
        parse(&raw)
    }

    /// Sends one line, which has no end yet, and waits for the reply.
    pub(super) async fn command(&mut self, line: &str, deadline: Instant) -> Result<Reply, Broken> {
        let raw = self.raw_command(line, deadline).await?;
        parse(&raw)
    }

    /// EHLO; a positive reply is kept in `offers`.
    pub(super) async fn ehlo(&mut self, name: &str, deadline: Instant) -> Result<Reply, Broken> {
        let raw = self.raw_command(&format!("EHLO {name}"), deadline).await?;
        let reply = parse(&raw)?;
        if reply.is_positive() {
            self.offers = EhloResponse::parse(&mut raw.iter()).map_err(|_| Broken::Garbage)?;
        }
        Ok(reply)
    }

    async fn raw_command(&mut self, line: &str, deadline: Instant) -> Result<Vec<u8>, Broken> {
        let by = patience(deadline);
        let write = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.write_all(b"\r\n").await?;
            self.stream.flush().await
        };
        timeout_at(by, write).await.map_err(|_| Broken::TimedOut)??;
        self.raw_reply(by).await
    }

    /// All lines of one reply: all but the last have a "-" behind the code (RFC 5321, section 4.2.1).
    async fn raw_reply(&mut self, by: Instant) -> Result<Vec<u8>, Broken> {
        let mut raw = Vec::with_capacity(FIRST_CAPACITY_BYTES);
        loop {
            let line_at = raw.len();
            let room = limits::SMTP_REPLY_BYTES_MAX.saturating_sub(line_at);
            let room = u64::try_from(room).unwrap_or(u64::MAX);
            let mut limited = (&mut self.stream).take(room);
            let read = timeout_at(by, limited.read_until(b'\n', &mut raw));
            let read = read.await.map_err(|_| Broken::TimedOut)??;
            if raw.last() != Some(&b'\n') || read == 0 {
                let is_full = raw.len() >= limits::SMTP_REPLY_BYTES_MAX;
                return Err(if is_full { Broken::Garbage } else { Broken::Closed });
            }
            if raw.get(line_at + 3) != Some(&b'-') {
                return Ok(raw);
            }
        }
    }

    /// Whether the server has said something that nobody asked for.
    pub(super) fn has_more_to_read(&self) -> bool {
        !self.stream.buffer().is_empty()
    }

    /// The stream, to put TLS around it; nobody is at the other end of what stays here. What has been
    /// read ahead is lost: see [`Self::has_more_to_read`].
    pub(super) fn take_stream(&mut self) -> Box<dyn Duplex> {
        let nobody: Box<dyn Duplex> = Box::new(tokio::io::empty());
        std::mem::replace(&mut self.stream, BufReader::new(nobody)).into_inner()
    }

    /// Sends the message, and waits for the answer to its end. `ended` is set right before the end
    /// is sent: as long as it is not, the server cannot take the message (RFC 5321, section 4.1.1.4).
    pub(super) async fn content(
        &mut self,
        message: &[u8],
        deadline: Instant,
        ended: &mut bool,
    ) -> Result<Reply, Broken> {
        // Who stops waiting for this answer does not know what became of the message: no limit but
        // the call's.
        let write = async {
            self.stream.write_all(&stuffed(message)).await?;
            self.stream.flush().await?;
            *ended = true;
            self.stream.write_all(b".\r\n").await?;
            self.stream.flush().await
        };
        timeout_at(deadline, write).await.map_err(|_| Broken::TimedOut)??;
        let raw = self.raw_reply(deadline).await?;
        parse(&raw)
    }

    /// Says QUIT as far as that does not take time, and hears no answer.
    pub(super) fn quit(&mut self) {
        use futures_util::FutureExt as _;
        let farewell = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.flush().await
        };
        // The connection is over either way.
        drop(Box::pin(farewell).now_or_never());
    }
}

/// Most replies are shorter.
const FIRST_CAPACITY_BYTES: usize = 256;

/// With a dot before each that begins a line (RFC 5321, section 4.5.2), and an end of the last line.
/// `message` has no other ends of lines than CR LF.
fn stuffed(message: &[u8]) -> Vec<u8> {
    const MARGIN_BYTES: usize = 64;
    let mut out = Vec::with_capacity(message.len() + MARGIN_BYTES);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn parse(raw: &[u8]) -> Result<Reply, Broken> {
    let mut receiver = ResponseReceiver::default();
    let response = receiver.parse(&mut raw.iter()).map_err(|_| Broken::Garbage)?;
    if !(200..=599).contains(&response.code) {
        return Err(Broken::Garbage);
    }
    let [class, subject, detail] = response.esc;
    // It has to say the same as the code (RFC 2034, section 4).
    let agrees = u16::from(class) == response.code / 100;
    Ok(Reply {
        code: response.code,
        enhanced: agrees.then(|| format!("{class}.{subject}.{detail}")),
        text: clean(&response.message),
    })
}

/// Without control characters but the ends of lines, and not longer than a guest gets.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(limits::SMTP_REPLY_TEXT_BYTES_MAX));
    for char in text.trim().chars().filter(|char| *char == '\n' || !char.is_control()) {
        if clean.len() + char.len_utf8() > limits::SMTP_REPLY_TEXT_BYTES_MAX {
            break;
        }
        clean.push(char);
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(raw: &str) -> Result<(u16, Option<String>, String), Broken> {
        parse(raw.as_bytes()).map(|reply| (reply.code, reply.enhanced, reply.text))
    }

    #[test]
    fn a_reply_has_two_codes_and_a_text() {
        let (code, enhanced, text) = reply("250 2.1.5 Ok\r\n").unwrap();
        assert_eq!((code, enhanced.as_deref(), text.as_str()), (250, Some("2.1.5"), "Ok"));
        let (code, enhanced, text) =
            reply("550-5.7.26 no\r\n550-5.7.26 SPF\r\n550 5.7.26 !\r\n").unwrap();
        assert_eq!((code, enhanced.as_deref()), (550, Some("5.7.26")));
        assert!(text.starts_with("no\n") && text.ends_with('!'), "{text:?}");
        assert_eq!(reply("354 go ahead\r\n").unwrap().1, None);
        assert_eq!(reply("250 5.7.1 what\r\n").unwrap().1, None, "the two disagree");
        assert_eq!(reply("220\r\n").unwrap().0, 220);
        assert_eq!(reply("421 4.3.2 \u{1b}[31mred\u{7}\r\n").unwrap().2, "[31mred");
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for bad in ["HTTP/1.1 400 Bad Request\r\n", "\r\n", "12 x\r\n", "099 x\r\n", "999 x\r\n"] {
            assert!(matches!(reply(bad), Err(Broken::Garbage)), "{bad:?}");
        }
    }

    #[test]
    fn a_dot_at_the_beginning_of_a_line_is_doubled() {
        for (message, expected) in [
            ("A: b\r\n\r\n.\r\n", "A: b\r\n\r\n..\r\n"),
            ("A: b\r\n\r\n..a\r\nb.\r\n.c", "A: b\r\n\r\n...a\r\nb.\r\n..c\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n\r\n"),
        ] {
            assert_eq!(stuffed(message.as_bytes()), expected.as_bytes());
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_inside_the_message_ends_before_the_messages_end() {
        for read_bytes in [0, 100] {
            let (mut far, near) = tokio::io::duplex(1_024);
            let mut client = Client::new(Box::new(near));
            let mut ended = false;
            let message = b"A: b\r\n\r\n".repeat(1_000);
            let deadline = Instant::now() + limits::SMTP_REPLY_TIMEOUT;
            let hang_up = async {
                let mut some = vec![0; read_bytes];
                far.read_exact(&mut some).await.unwrap();
                drop(far);
            };
            let sent = client.content(&message, deadline, &mut ended);
            let (result, ()) = tokio::join!(sent, hang_up);
            assert!(result.is_err() && !ended);
        }
    }

    #[tokio::test]
    async fn a_reply_is_bounded_and_one_that_stops_is_a_closed_connection() {
        for (sent, expected) in [
            ("250-a\r\n".repeat(2_000), "too long"),
            ("2".repeat(10_000), "too long"),
            (String::from("250-a\r\n250"), "closed"),
            (String::new(), "closed"),
        ] {
            let (mut far, near) = tokio::io::duplex(64 * 1024);
            far.write_all(sent.as_bytes()).await.unwrap();
            drop(far);
            let mut client = Client::new(Box::new(near));
            let deadline = Instant::now() + limits::SMTP_REPLY_TIMEOUT;
            let error = client.greeting(deadline).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
