//! Closing a connection so that the last answer arrives.
//!
//! A request that is refused before its body is read leaves bytes behind. A socket that is closed
//! with unread bytes resets the connection, and the reset can overtake the answer: the caller sees a
//! broken pipe and not the reason. So the sending half is closed first, and what comes then is read
//! and thrown away for a moment (RFC 9112, section 9.6).

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::limits;

/// A connection that is closed in that way after a refusal.
pub(super) struct Lingering<S> {
    inner: S,
    /// Whether the last request was refused.
    refused: Arc<AtomicBool>,
    closing: Option<Closing>,
}

/// What is left of the moment.
struct Closing {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S> Lingering<S> {
    pub(super) const fn new(inner: S, refused: Arc<AtomicBool>) -> Self {
        Self { inner, refused, closing: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(context))?;
            if !this.refused.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = this.closing.get_or_insert_with(|| Closing {
            until: Box::pin(tokio::time::sleep(limits::CLOSE_LINGER)),
            bytes_left: limits::CLOSE_LINGER_BYTES_MAX,
        });
        if closing.until.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut scrap = [0; 4096];
            let mut scrap = ReadBuf::new(&mut scrap);
            // However the other side ends it, it is over.
            let read = ready!(Pin::new(&mut this.inner).poll_read(context, &mut scrap));
            let bytes = scrap.filled().len();
            if read.is_err() || bytes == 0 || bytes >= closing.bytes_left {
                return Poll::Ready(Ok(()));
            }
            closing.bytes_left -= bytes;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}
