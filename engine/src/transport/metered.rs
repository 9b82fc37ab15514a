//! A byte stream whose bytes are counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::carrier::{Meter, Ticket};

/// Counts what passes. With `turns`, a read after a write also counts as a round trip (a protocol of a server); without
/// it only bytes are counted (a carrier, whose users count their own questions).
pub(super) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
    turns: bool,
    asked: Option<Ticket>,
}

impl<S> Metered<S> {
    pub fn bytes(stream: S, meter: Arc<Meter>) -> Self {
        Self {
            stream,
            meter,
            turns: false,
            asked: None,
        }
    }
    pub fn turns(stream: S, meter: Arc<Meter>) -> Self {
        Self {
            turns: true,
            ..Self::bytes(stream, meter)
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if self.turns {
            if let Some(ticket) = self.asked.take() {
                self.meter.answered(ticket);
            }
        } else {
            self.meter.received(buf.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        // Some writers refuse an empty buffer, which here means nothing.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        if self.turns {
            let ticket = self.meter.ask();
            self.asked.get_or_insert(ticket);
        } else {
            self.meter.sent(written);
        }
        Poll::Ready(Ok(written))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
