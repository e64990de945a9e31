//! One request over the wire: when its first byte left, how long each step may take, and how much is
//! read.
//!
//! What is sent again, and by whom: hyper sends a request again by itself only when a pooled
//! connection turned out to be dead *before* the request was taken from its queue (then it has the
//! request back unread). What a server refused by HTTP/2's own means, without looking at it, is sent
//! again here. Nothing else is ever sent twice.

use std::{
    convert::Infallible,
    error::Error as StdError,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use reqwest::Client;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    FetchError,
    guard::AddressDenied,
    policy::origin_text,
    request::{Checked, header_bytes},
    resolve::ResolveError,
};
use crate::limits;

/// How often a request is sent again that the server refused without looking at it.
const REFUSED_RETRIES: u32 = 2;

/// How long the steps of an answer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) first_byte: Duration,
    pub(super) between_bytes: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_byte: limits::FIRST_BYTE_TIMEOUT,
            between_bytes: limits::BETWEEN_BYTES_TIMEOUT,
        }
    }
}

/// Sends `request` and reads the whole answer, until `deadline` at most.
pub(super) async fn exchange(
    client: &Client,
    request: Checked,
    patience: Patience,
    deadline: Instant,
) -> Result<Response<Bytes>, FetchError> {
    let origin = origin_text(&request.url);
    let mut refused = 0;
    let response = loop {
        match head(client, &request, patience, deadline).await {
            Ok(response) => break response,
            Err(Failure::Http { error, .. })
                if refused < REFUSED_RETRIES && was_refused(&error) =>
            {
                refused += 1;
            }
            Err(failure) => return Err(failure.explain(&origin)),
        }
    };
    whole(response, patience, deadline, &origin).await
}

/// Sends and waits for the head of the answer.
async fn head(
    client: &Client,
    request: &Checked,
    patience: Patience,
    deadline: Instant,
) -> Result<reqwest::Response, Failure> {
    let sent = Arc::new(Sent::default());
    let outgoing = outgoing(request, Arc::clone(&sent));
    let answer = client.execute(outgoing);
    tokio::pin!(answer);
    // Until the request begins, connecting has its own limit; this one is for what waits around it.
    let connected_by = Instant::now() + limits::CONNECT_TIMEOUT + patience.first_byte;
    let limit = sleep_until(deadline.min(connected_by));
    tokio::pin!(limit);
    let mut began = false;
    loop {
        tokio::select! {
            answer = &mut answer => {
                return answer.map_err(|error| Failure::Http { error, sent: sent.is_set() });
            }
            () = sent.notify.notified(), if !began => {
                began = true;
                limit.as_mut().reset(deadline.min(Instant::now() + patience.first_byte));
            }
            () = &mut limit => return Err(Failure::TimedOut { sent: sent.is_set() }),
        }
    }
}

fn outgoing(request: &Checked, sent: Arc<Sent>) -> reqwest::Request {
    let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
    *outgoing.headers_mut() = request.headers.clone();
    // hyper leaves the length of an empty body out; some servers answer 411 to that.
    if request.body.is_empty()
        && matches!(request.method, Method::POST | Method::PUT | Method::PATCH)
    {
        let zero = http::HeaderValue::from_static("0");
        outgoing.headers_mut().insert(http::header::CONTENT_LENGTH, zero);
    }
    let bytes = (!request.body.is_empty()).then(|| request.body.clone());
    *outgoing.body_mut() = Some(reqwest::Body::wrap(Tracked { bytes, sent }));
    outgoing
}

/// Reads the body to its end, the cap or the time limit.
async fn whole(
    mut response: reqwest::Response,
    patience: Patience,
    deadline: Instant,
    origin: &str,
) -> Result<Response<Bytes>, FetchError> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let head_bytes = header_bytes(&headers);
    if head_bytes > limits::EGRESS_HEADER_BYTES_MAX {
        return Err(too_large(origin, "headers", limits::EGRESS_HEADER_BYTES_MAX));
    }
    let bytes_max = limits::EGRESS_RESPONSE_BYTES_MAX;
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(too_large(origin, "body", bytes_max));
    }
    let mut body = BytesMut::with_capacity(announced.min(FIRST_CAPACITY_BYTES));
    loop {
        let wait = deadline.min(Instant::now() + patience.between_bytes);
        match timeout_at(wait, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > bytes_max => {
                return Err(too_large(origin, "body", bytes_max));
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => return Ok(assemble(status, headers, body.freeze())),
            Ok(Err(error)) => return Err(Failure::Http { error, sent: true }.explain(origin)),
            Err(_) => {
                return Err(FetchError::NoAnswer(format!(
                    "the answer of {origin} stopped after {} bytes of its body, or came too slowly",
                    body.len()
                )));
            }
        }
    }
}

/// What is set aside for an answer before any of it is here: it has only said how long it is.
const FIRST_CAPACITY_BYTES: usize = 64 * 1024;

fn assemble(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn too_large(origin: &str, what: &str, bytes_max: usize) -> FetchError {
    FetchError::TooLarge(format!(
        "the {what} of the answer of {origin} are more than {bytes_max} bytes"
    ))
}

/// Whether hyper has taken the request to write it. Just before, it asks whether the body is empty,
/// in HTTP/1.1 and in HTTP/2, and nothing in front of it asks that: until then not one byte has
/// left. (How *long* the body is, is asked earlier.) Tests hold both ends of this.
#[derive(Default)]
struct Sent {
    set: AtomicBool,
    notify: Notify,
}

impl Sent {
    fn set(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }
}

/// A request's body that tells when it is taken.
struct Tracked {
    bytes: Option<Bytes>,
    sent: Arc<Sent>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.set();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent.set();
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Why there is no head of an answer.
enum Failure {
    Http { error: reqwest::Error, sent: bool },
    TimedOut { sent: bool },
}

impl Failure {
    fn explain(self, origin: &str) -> FetchError {
        match self {
            Self::TimedOut { sent: false } => {
                FetchError::Unreachable(format!("no connection to {origin} in time"))
            }
            Self::TimedOut { sent: true } => {
                FetchError::NoAnswer(format!("{origin} did not answer in time"))
            }
            Self::Http { error, sent } => explain_http(&error.without_url(), sent, origin),
        }
    }
}

pub(super) fn explain_http(error: &reqwest::Error, sent: bool, origin: &str) -> FetchError {
    if let Some(denied) = denied(error) {
        return FetchError::Denied(denied);
    }
    let too_large_head = |hyper: &hyper::Error| hyper.is_parse_too_large();
    if find::<hyper::Error>(error).is_some_and(too_large_head) {
        return too_large(origin, "headers", limits::EGRESS_HEADER_BYTES_MAX);
    }
    let causes = causes(error);
    if sent && !error.is_connect() {
        FetchError::NoAnswer(format!("no complete answer of {origin}: {causes}"))
    } else {
        FetchError::Unreachable(format!("no connection to {origin}: {causes}"))
    }
}

fn denied(error: &reqwest::Error) -> Option<String> {
    if let Some(denied @ ResolveError::Denied { .. }) = find::<ResolveError>(error) {
        return Some(denied.to_string());
    }
    find::<AddressDenied>(error).map(ToString::to_string)
}

/// Whether an HTTP/2 server says that it has not looked at the request (RFC 9113, 8.7): it refused
/// the stream, or closes the connection in good order and never began with this one.
fn was_refused(error: &reqwest::Error) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        let reason = error.reason();
        error.is_remote()
            && ((error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
    })
}

/// The first cause of that type.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<T>())
}

/// The causes below reqwest's own sentence, from the outer to the inner.
fn causes(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        let text = cause.to_string();
        // Each layer tends to repeat the one below.
        if !texts.iter().any(|seen| seen.contains(&text)) {
            texts.push(text);
        }
    }
    texts.join(": ")
}
