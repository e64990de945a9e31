//! Serving connections: how many, how long their heads may take, and how they end.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use lazy_timer::LazyTimer;
use linger::Lingering;
use places::{Place, Sources};

use super::auth::Ends;
use crate::{limits, source::Source};

mod lazy_timer;
mod linger;
mod places;
mod protocol;

/// After an accept that failed for want of file descriptors, the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which an HTTP/2 client is asked whether it is there, and how long it may think.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A connection whose head does not come is looked at so often until its time is over, and ended the
/// next time.
const LOOKS: u32 = 4;

/// What a listener may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServerLimits {
    /// Connections at the same time; the next one waits in the kernel's queue.
    pub connections_max: u32,
    /// Connections of one source at the same time; the next one is closed.
    pub connections_per_source_max: u32,
    /// How long the head of a request may take, and how long a connection may be idle.
    pub header_read_timeout: Duration,
    /// How long requests in flight may take once the host stops.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: u32::try_from(limits::CONNECTIONS_MAX).unwrap_or(u32::MAX),
            connections_per_source_max: u32::try_from(limits::CONNECTIONS_PER_SOURCE_MAX)
                .unwrap_or(u32::MAX),
            header_read_timeout: limits::HEADER_READ_TIMEOUT,
            grace: limits::SHUTDOWN_GRACE,
        }
    }
}

/// What answers the requests.
pub trait Answers:
    Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Answers for S where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future: Future<Output = Result<Response<Body>, Infallible>> + Send,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Accepts connections until `stopping` is cancelled, then lets requests in flight end within the
/// grace. Returns when every connection is closed.
pub async fn serve(
    listener: TcpListener,
    surface: impl Answers,
    stopping: CancellationToken,
    tasks: &TaskTracker,
    limits: ServerLimits,
) {
    let places = Arc::new(Semaphore::new(usize::try_from(limits.connections_max).unwrap_or(0)));
    let sources = Sources::new(limits.connections_per_source_max);
    let protocols = Arc::new(Protocols { http1: http1_of(limits), any: any_of(limits) });
    let connections = Connections { protocols, surface, stopping, limits };
    loop {
        let accepted = tokio::select! {
            biased;
            () = connections.stopping.cancelled() => break,
            accepted = accept(&listener, &places, &sources) => accepted,
        };
        if let Some((stream, ends, place)) = accepted {
            tasks.spawn(connections.clone().serve(stream, ends, place));
        }
    }
    // A client that connects now is refused at once, and not left waiting for the kernel.
    drop(listener);
    // Every connection holds a place, so having all of them means that all are closed. Each one
    // keeps to the grace by itself.
    drop(places.acquire_many(limits.connections_max).await);
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    sources: &Sources,
) -> Option<(TcpStream, Ends, Place)> {
    // The semaphore is never closed.
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            let Some(place) = sources.enter(Source::from(peer.ip()), permit) else {
                tracing::debug!(%peer, "a connection was closed: its source has too many");
                return None;
            };
            let local = stream.local_addr().ok()?;
            // Answers are small and wait for nothing.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            Some((stream, Ends { peer, local }, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// How the protocols are spoken.
struct Protocols {
    http1: http1::Builder,
    /// For those whose first bytes may be HTTP/2's.
    any: auto::Builder<TokioExecutor>,
}

fn http1_of(limits: ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(LazyTimer)
        .header_read_timeout(limits.header_read_timeout)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX);
    builder
}

fn any_of(limits: ServerLimits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read_timeout)
        .max_headers(limits::HEADERS_MAX)
        .max_buf_size(limits::HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits::HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL);
    builder
}

#[derive(Clone)]
struct Connections<S> {
    protocols: Arc<Protocols>,
    surface: S,
    stopping: CancellationToken,
    limits: ServerLimits,
}

impl<S: Answers> Connections<S> {
    async fn serve(self, stream: TcpStream, ends: Ends, place: Place) {
        let first = protocol::is_http1(&stream);
        let is_http1 = tokio::select! {
            first = tokio::time::timeout(self.limits.header_read_timeout, first) => match first {
                Ok(Ok(is_http1)) => is_http1,
                // It has said nothing, or is gone.
                Ok(Err(_)) | Err(_) => return,
            },
            // Nothing was asked.
            () = self.stopping.cancelled() => return,
        };
        let asked = Arc::new(AtomicBool::new(false));
        let refused = Arc::new(AtomicBool::new(false));
        let surface = self.surface.clone();
        let (asked_in, refused_in) = (Arc::clone(&asked), Arc::clone(&refused));
        let service = service_fn(move |request: Request<Incoming>| {
            asked_in.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ends);
            // It is always ready: what there is to wait for is inside the call.
            let answer = surface.clone().call(request);
            let refused = Arc::clone(&refused_in);
            async move {
                let answer = answer.await?;
                refused.store(answer.status().is_client_error(), Ordering::Relaxed);
                Ok::<_, Infallible>(answer)
            }
        });
        let stream = TokioIo::new(Lingering::new(stream, refused));
        let protocols = Arc::clone(&self.protocols);
        let ended = if is_http1 {
            self.drive(protocols.http1.serve_connection(stream, service), &asked).await
        } else {
            self.drive(protocols.any.serve_connection(stream, service), &asked).await
        };
        if let Err(error) = ended {
            tracing::debug!(error, peer = %ends.peer, "a connection broke");
        }
        drop(place);
    }

    /// Serves a connection to its end.
    async fn drive<C>(&self, connection: C, asked: &AtomicBool) -> Result<(), Broken>
    where
        C: GracefulConnection<Error: Into<Broken>>,
    {
        let mut connection = std::pin::pin!(connection);
        let began = Instant::now();
        let limit = self.limits.header_read_timeout;
        let mut look = tokio::time::interval_at(began + limit / LOOKS, limit / LOOKS);
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                // Its own deadlines are seen in the next turn of this loop. They begin when the
                // protocol is known: a client that sends half of HTTP/2's preface never comes so far.
                _ = look.tick() => if !asked.load(Ordering::Relaxed) && began.elapsed() >= limit {
                    return Ok(());
                },
                () = self.stopping.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(self.limits.grace, connection).await {
                        Ok(ended) => break ended,
                        Err(_) => return Ok(()),
                    }
                }
            }
        };
        ended.map_err(Into::into)
    }
}

/// Why a connection broke.
type Broken = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests;
