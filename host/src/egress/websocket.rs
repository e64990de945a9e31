//! Connections over which both sides speak (RFC 6455). The handshake is a request like any other,
//! judged by the same rules and sent by the same client to the same guarded addresses; what follows
//! are frames.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Upgraded, Url};
use ring::{
    digest,
    rand::{SecureRandom as _, SystemRandom},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf},
    sync::Mutex,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    BindingEgress, DenialReason, FetchError, Tell,
    denial::Refused,
    frames::{self, Assembler, FrameError, Incoming, Opcode},
    policy::origin_text,
    request::{check_headers, check_sizes, check_socket_url},
    substitute::{substitute, substitute_text},
    wire::explain_http,
};
use crate::limits;

/// What RFC 6455, section 1.3, has both sides append to the key.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The reason of a close frame has to fit into a control frame (RFC 6455, section 5.5).
const CLOSE_REASON_BYTES_MAX: usize = 123;

/// One whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketMessage {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

/// Why a socket did not do what it was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SocketError {
    /// It cannot be done as it is.
    Invalid(String),
    /// The policy refuses it.
    Denied(String),
    /// The connection is over; with the other side's code and reason if it gave some.
    Closed(Option<(u16, String)>),
    /// A message came that is larger than [`limits::SOCKET_MESSAGE_BYTES_MAX`].
    TooLarge(String),
}

/// An open connection. Closed, without a word, when it is dropped.
pub struct Socket {
    egress: Arc<BindingEgress>,
    /// Where it leads to: whether a secret may go there.
    url: Url,
    out: Mutex<Outgoing>,
    stream: Mutex<Reading>,
    closed: CancellationToken,
}

/// The way out. What a cancelled `send` has left is written before the next.
struct Outgoing {
    io: WriteHalf<Upgraded>,
    unwritten: BytesMut,
}

struct Reading {
    io: ReadHalf<Upgraded>,
    assembler: Assembler,
}

impl Outgoing {
    fn push(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), SocketError> {
        // What earlier ones have left counts: it is all in memory.
        check_size(self.unwritten.len().saturating_add(payload.len()))?;
        let mut mask = [0; 4];
        SystemRandom::new()
            .fill(&mut mask)
            .map_err(|_| SocketError::Invalid(String::from("the machine has no randomness")))?;
        frames::write(&mut self.unwritten, opcode, payload, mask);
        Ok(())
    }

    /// Can be dropped at any time.
    async fn flush(&mut self) -> Result<(), SocketError> {
        while !self.unwritten.is_empty() {
            let written = self.io.write_buf(&mut self.unwritten).await;
            if written.is_err() || written.is_ok_and(|bytes| bytes == 0) {
                return Err(SocketError::Closed(None));
            }
        }
        self.io.flush().await.map_err(|_| SocketError::Closed(None))
    }
}

impl Reading {
    /// Can be dropped at any time.
    async fn next(&mut self) -> Result<Incoming, SocketError> {
        loop {
            match self.assembler.next() {
                Ok(Some(incoming)) => return Ok(incoming),
                Ok(None) => {}
                Err(FrameError::Protocol) => return Err(SocketError::Closed(None)),
                Err(FrameError::TooLarge) => {
                    return Err(SocketError::TooLarge(format!(
                        "a message came that is larger than the {} bytes that the host takes",
                        limits::SOCKET_MESSAGE_BYTES_MAX
                    )));
                }
            }
            match self.io.read_buf(&mut self.assembler.buffer).await {
                Ok(0) | Err(_) => return Err(SocketError::Closed(None)),
                Ok(_) => {}
            }
        }
    }
}

impl BindingEgress {
    /// Opens a connection to `ws://…` or `wss://…`, with `headers` beside the handshake's own, within
    /// `timeout` and [`limits::SOCKET_HANDSHAKE_TIMEOUT`]. `tell` hears of everything that the policy
    /// refused or would have refused; it must not wait.
    ///
    /// # Errors
    /// [`FetchError`]; its text holds no secret.
    pub async fn connect(
        self: &Arc<Self>,
        url: &str,
        headers: &[(String, String)],
        timeout: Duration,
        tell: Tell<'_>,
    ) -> Result<Socket, FetchError> {
        let deadline = Instant::now() + timeout.min(limits::SOCKET_HANDSHAKE_TIMEOUT);
        let parsed = Url::parse(url).ok();
        let result = self.handshake(url, headers, deadline, tell).await;
        self.judged(result, parsed.as_ref().and_then(Url::host_str).unwrap_or_default())
    }

    async fn handshake(
        self: &Arc<Self>,
        url: &str,
        headers: &[(String, String)],
        deadline: Instant,
        tell: Tell<'_>,
    ) -> Result<Socket, FetchError> {
        let asked = Url::parse(url).ok().map(|url| origin_text(&url));
        let told = |refused: Refused| self.told(refused, asked.clone(), tell);
        let (url, headers) = self.admit_handshake(url, headers, tell).map_err(&told)?;
        let client = self.upgrading_client()?;
        let _slot = self.slot(deadline).await?;
        let (request, accept) = request(&url, headers)?;
        let origin = origin_text(&url);
        let late = || FetchError::Unreachable(format!("no websocket of {origin} in time"));
        let answer = timeout_at(deadline, client.execute(request)).await.map_err(|_| late())?;
        let explained = answer.map_err(|error| explain_http(&error.without_url(), false, &origin));
        let response = explained.map_err(|error| match error {
            // All but the address was judged before.
            FetchError::Denied(_) => told(Refused::new(DenialReason::Address, error)),
            other => other,
        })?;
        check_answer(&response, &accept, &origin)?;
        let upgraded = timeout_at(deadline, response.upgrade()).await.map_err(|_| late())?;
        let upgraded = upgraded.map_err(|error| {
            FetchError::Unreachable(format!("no websocket of {origin}: {}", error.without_url()))
        })?;
        let (read, write) = tokio::io::split(upgraded);
        Ok(Socket {
            egress: Arc::clone(self),
            url,
            out: Mutex::new(Outgoing { io: write, unwritten: BytesMut::new() }),
            stream: Mutex::new(Reading { io: read, assembler: Assembler::default() }),
            closed: CancellationToken::new(),
        })
    }

    /// Everything that is decided before a connection is looked for, secrets put in last.
    fn admit_handshake(
        &self,
        url: &str,
        headers: &[(String, String)],
        tell: Tell<'_>,
    ) -> Result<(Url, HeaderMap), Refused> {
        let mut url = check_socket_url(url)?;
        let mut headers = header_map(headers)?;
        check_headers(&headers)?;
        self.permits_origin(&url, tell)?;
        substitute(self.vault(), &mut url, &mut headers, &mut Bytes::new())?;
        check_sizes(&url, &headers)?;
        self.check_literal(&url)?;
        Ok((url, headers))
    }
}

fn header_map(pairs: &[(String, String)]) -> Result<HeaderMap, Refused> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let invalid = |what: &str| {
            Refused::invalid(DenialReason::Header, format!("the header {what} is not valid"))
        };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("name"))?;
        if parsed.as_str().starts_with("sec-websocket-") && parsed != "sec-websocket-protocol" {
            return Err(Refused::invalid(
                DenialReason::Header,
                format!("the header \"{parsed}\" is the host's to set"),
            ));
        }
        let value = HeaderValue::from_str(value).map_err(|_| invalid(parsed.as_str()))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// The handshake (RFC 6455, section 4.1), and what must be answered to its key.
fn request(url: &Url, headers: HeaderMap) -> Result<(reqwest::Request, String), FetchError> {
    let invalid = |text: &str| FetchError::Invalid(text.to_owned());
    let mut http = url.clone();
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    http.set_scheme(scheme).map_err(|()| invalid("the URL is not valid"))?;
    let mut nonce = [0; 16];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| FetchError::Unreachable(String::from("the machine has no randomness")))?;
    let key = STANDARD.encode(nonce);
    let mut request = reqwest::Request::new(http::Method::GET, http);
    *request.headers_mut() = headers;
    let own = [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
    ];
    for (name, value) in own {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let value = HeaderValue::from_str(&key).map_err(|_| invalid("the key is not valid"))?;
    request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, value);
    Ok((request, accept_of(&key)))
}

fn accept_of(key: &str) -> String {
    // The protocol's own choice; it guards against mistakes, not against attackers.
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(KEY_SUFFIX.as_bytes());
    STANDARD.encode(hash.finish())
}

fn check_answer(
    response: &reqwest::Response,
    accept: &str,
    origin: &str,
) -> Result<(), FetchError> {
    let status = response.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(FetchError::Unreachable(format!(
            "{origin} does not open a websocket: it answered {status}"
        )));
    }
    let found = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if found.is_none_or(|found| found.as_bytes() != accept.as_bytes()) {
        return Err(FetchError::Unreachable(format!(
            "{origin} does not open a websocket: its answer does not fit the handshake's key"
        )));
    }
    Ok(())
}

impl Socket {
    /// Sends a message. In a text, secrets take the places of their placeholders, escaped as inside a
    /// JSON string; `tell` hears of one that may not go there, and must not wait.
    ///
    /// # Errors
    /// When the message is too large, a secret may not go there, or the connection is over.
    pub async fn send(&self, message: SocketMessage, tell: Tell<'_>) -> Result<(), SocketError> {
        let bytes_max = limits::SOCKET_MESSAGE_BYTES_MAX;
        let (opcode, payload) = match message {
            SocketMessage::Text(text) => {
                let vault = self.egress.vault();
                let changed = substitute_text(vault, &self.url, text.as_bytes(), bytes_max)
                    .map_err(|refused| self.refused(refused, tell))?;
                (Opcode::Text, changed.unwrap_or_else(|| text.into_bytes()))
            }
            SocketMessage::Binary(bytes) => (Opcode::Binary, bytes),
        };
        check_size(payload.len())?;
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(SocketError::Closed(None)),
            sent = self.write(opcode, &payload) => sent,
        }
    }

    async fn write(&self, opcode: Opcode, payload: &[u8]) -> Result<(), SocketError> {
        let mut out = self.out.lock().await;
        out.flush().await?;
        out.push(opcode, payload)?;
        out.flush().await
    }

    fn refused(&self, refused: Refused, tell: Tell<'_>) -> SocketError {
        let error = self.egress.told(refused, Some(origin_text(&self.url)), tell);
        let host = self.url.host_str().unwrap_or_default();
        match self.egress.judged::<()>(Err(error), host) {
            Err(FetchError::Denied(why) | FetchError::SecretDenied(why)) => {
                SocketError::Denied(why)
            }
            Err(other) => SocketError::Invalid(other.to_string()),
            Ok(()) => SocketError::Closed(None),
        }
    }

    /// The next message. Dropped before it came, nothing is lost. Pings are answered meanwhile.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn receive(&self) -> Result<SocketMessage, SocketError> {
        let next = async {
            let mut stream = self.stream.lock().await;
            loop {
                let incoming = stream.next().await?;
                match incoming.opcode {
                    Opcode::Text | Opcode::Binary => return self.incoming(incoming),
                    Opcode::Ping => self.write(Opcode::Pong, &incoming.payload).await?,
                    Opcode::Close => return Err(self.goodbye(&incoming.payload)),
                    Opcode::Pong | Opcode::Continuation => {}
                }
            }
        };
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(SocketError::Closed(None)),
            message = next => {
                // Nothing comes after it.
                if message.is_err() {
                    self.closed.cancel();
                }
                message
            }
        }
    }

    /// Without the secrets that the other side repeats.
    fn incoming(
        &self,
        Incoming { opcode, payload }: Incoming,
    ) -> Result<SocketMessage, SocketError> {
        let bytes = self.egress.vault().conceal(&payload).unwrap_or(payload);
        match opcode {
            Opcode::Text => String::from_utf8(bytes)
                .map(SocketMessage::Text)
                .map_err(|_| SocketError::Closed(None)),
            _ => Ok(SocketMessage::Binary(bytes)),
        }
    }

    /// What a close frame says (RFC 6455, section 5.5.1).
    fn goodbye(&self, payload: &[u8]) -> SocketError {
        let reason = payload.split_first_chunk::<2>().map(|(code, reason)| {
            let reason = String::from_utf8_lossy(reason);
            (u16::from_be_bytes(*code), self.egress.vault().scrub(&reason))
        });
        SocketError::Closed(reason)
    }

    /// Says goodbye with a code of 1000 or from 3000 to 4999 (others become 1000). Whoever waits for
    /// this socket is told that it is over.
    pub async fn close(&self, code: u16, reason: &str) {
        const NORMAL: u16 = 1000;
        let code = if matches!(code, 3000..=4999) { code } else { NORMAL };
        let reason = super::cut(reason, CLOSE_REASON_BYTES_MAX);
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        let said = self.write(Opcode::Close, &payload);
        // Nobody is there to be told whether the other side heard it.
        drop(timeout(limits::SOCKET_CLOSE_TIMEOUT, said).await);
        self.closed.cancel();
    }
}

fn check_size(bytes: usize) -> Result<(), SocketError> {
    let bytes_max = limits::SOCKET_MESSAGE_BYTES_MAX;
    if bytes <= bytes_max {
        return Ok(());
    }
    Err(SocketError::Invalid(format!(
        "the message has {bytes} bytes and the host sends {bytes_max} at most"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_key_is_that_of_rfc_6455() {
        // Section 1.3.
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
