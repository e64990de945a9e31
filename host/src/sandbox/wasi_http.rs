//! The other door to the same egress: `wasi:http` 0.2, for libraries and for JavaScript's `fetch`.
//!
//! Requests and answers are taken whole, so that placeholders in a body are replaced, caps hold and
//! a dripping peer meets the same time limits as behind `http.fetch`.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::door::Door;
use crate::{egress::FetchError, limits};

/// Sends what a guest hands to `wasi:http/outgoing-handler`.
pub(super) struct Hooks {
    door: Option<Door>,
    pub(super) deadline: Instant,
}

impl Hooks {
    pub(super) const fn new(door: Option<Door>, deadline: Instant) -> Self {
        Self { door, deadline }
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
            let body = Limited::new(body, limits::EGRESS_REQUEST_BYTES_MAX)
                .collect()
                .await
                .map_err(|_| Error::HttpRequestBodySize(None))?
                .to_bytes();
            let response = door
                .fetch(http::Request::from_parts(head, body), timeout)
                .await
                .map_err(|error| to_wasi(&error))?;
            let response = response.map(whole);
            Ok((response, Box::new(std::future::ready(Ok(()))) as IoResult))
        })
    }
}

fn whole(body: Bytes) -> WasiBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
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
