//! The other door to the same egress: `wasi:http` 0.2, for libraries and for JavaScript's `fetch`.
//!
//! Requests and answers are taken whole, so that placeholders in a body are replaced, caps hold and
//! a dripping peer meets the same time limits as behind `http.fetch`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{door::Door, observer::Refusal};
use crate::{egress::FetchError, limits};

/// Sends what a guest hands to `wasi:http/outgoing-handler`.
pub(super) struct Hooks {
    door: Option<Door>,
    pub(super) deadline: Instant,
    /// Bytes of bodies that lie in the host for this instance.
    held_bytes: Arc<AtomicUsize>,
}

impl Hooks {
    pub(super) fn new(door: Option<Door>, deadline: Instant) -> Self {
        Self { door, deadline, held_bytes: Arc::default() }
    }
}

/// What one body adds to [`Hooks::held_bytes`], until it is dropped.
struct Held {
    all: Arc<AtomicUsize>,
    mine: usize,
}

impl Held {
    const fn nothing(all: Arc<AtomicUsize>) -> Self {
        Self { all, mine: 0 }
    }

    /// False when the instance has the host hold too much already.
    fn add(&mut self, bytes: usize) -> bool {
        // Counted before it is judged, and given back with the rest in either case.
        self.mine += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= limits::EGRESS_HELD_BYTES_MAX
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        // The client sets it; a header of that name from a guest is refused.
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmitted: IoResult,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, IoResult), Error>> + Send> {
        let door = self.door.clone();
        let held_bytes = Arc::clone(&self.held_bytes);
        let mut timeout = self.deadline.saturating_duration_since(Instant::now());
        if let Some(first_byte) = options.and_then(|options| options.first_byte_timeout) {
            timeout = timeout.min(first_byte);
        }
        Box::new(async move {
            let Some(door) = door else { return Err(Error::HttpRequestDenied) };
            let (mut head, body) = request.into_parts();
            // wasmtime sets the first, and the body's real length decides the second.
            head.headers.remove(http::header::HOST);
            head.headers.remove(http::header::CONTENT_LENGTH);
            let too_much = || {
                door.observer.refused(&door.plugin, Refusal::HeldBytes);
                Error::InternalError(Some(String::from(
                    "the host holds too many unread answers and unfinished requests",
                )))
            };
            let mut request_held = Held::nothing(Arc::clone(&held_bytes));
            let body = collect(body, &mut request_held, &too_much).await?;
            let response = door
                .fetch(http::Request::from_parts(head, body), timeout)
                .await
                .map_err(|error| to_wasi(&error))?;
            drop(request_held);
            let mut held = Held::nothing(held_bytes);
            if !held.add(response.body().len()) {
                return Err(too_much());
            }
            let response = response.map(|body| whole(body, held));
            Ok((response, Box::new(std::future::ready(Ok(()))) as IoResult))
        })
    }
}

/// A request's body, whole, within what it and the instance may have the host hold.
async fn collect(
    mut body: WasiBody,
    held: &mut Held,
    too_much: impl Fn() -> Error,
) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > limits::EGRESS_REQUEST_BYTES_MAX {
            return Err(Error::HttpRequestBodySize(None));
        }
        if !held.add(data.len()) {
            return Err(too_much());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// An answer's body, held until the guest has read or dropped it.
fn whole(body: Bytes, held: Held) -> WasiBody {
    Full::new(body)
        .map_frame(move |frame| {
            let _until_dropped = &held;
            frame
        })
        .map_err(|never| match never {})
        .boxed_unsync()
}

fn to_wasi(error: &FetchError) -> Error {
    match error {
        FetchError::Invalid(_) => Error::HttpRequestUriInvalid,
        FetchError::Denied(_) | FetchError::SecretDenied(_) => Error::HttpRequestDenied,
        FetchError::Unreachable(_) => Error::DestinationUnavailable,
        FetchError::NoAnswer(_) => Error::HttpResponseTimeout,
        FetchError::TooLarge(_) => Error::HttpResponseBodySize(None),
    }
}
