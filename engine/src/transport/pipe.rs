//! A pipe in memory that takes what comes without waiting, up to a bound of bytes.
//!
//! One channel that is not read stops every other one of an SSH connection, since the library hands on messages in
//! order. So what a channel receives goes into such a pipe at once. Only a reader that is far behind makes it wait.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes held for a reader that is behind.
const HELD: usize = 64 << 20;
/// The bound is counted in blocks of this size.
const BLOCK: usize = 1024;

/// The end that is written to.
pub(super) struct Inlet {
    parts: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
}

/// The end that is read from.
pub(super) struct Outlet {
    parts: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>,
    current: Option<(Bytes, OwnedSemaphorePermit)>,
}

pub(super) fn pipe() -> (Inlet, Outlet) {
    let (inlet, outlet) = mpsc::unbounded_channel();
    (
        Inlet {
            parts: inlet,
            room: Arc::new(Semaphore::new(HELD / BLOCK)),
        },
        Outlet {
            parts: outlet,
            current: None,
        },
    )
}

impl Inlet {
    /// Takes a part. A reader that has gone loses it.
    pub async fn put(&self, part: Bytes) {
        let blocks = u32::try_from(part.len().div_ceil(BLOCK).clamp(1, HELD / BLOCK)).unwrap_or(1);
        let room = tokio::select! {
            room = self.room.clone().acquire_many_owned(blocks) => room,
            () = self.parts.closed() => return,
        };
        if let Ok(room) = room {
            let _ = self.parts.send((part, room));
        }
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.parts.closed().await;
    }
}

impl AsyncRead for Outlet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            match &mut self.current {
                Some((part, _)) if part.has_remaining() => {
                    let length = part.len().min(buf.remaining());
                    buf.put_slice(&part[..length]);
                    part.advance(length);
                    return Poll::Ready(Ok(()));
                }
                _ => match ready!(self.parts.poll_recv(cx)) {
                    Some(next) => self.current = Some(next),
                    None => return Poll::Ready(Ok(())),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_ends() {
        let (inlet, mut outlet) = pipe();
        for part in ["ab", "", "c"] {
            inlet.put(Bytes::from(part)).await;
        }
        drop(inlet);
        let mut text = String::new();
        outlet.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "abc");
    }

    #[tokio::test]
    async fn a_reader_that_has_gone_holds_nobody_up() {
        let (inlet, outlet) = pipe();
        let flood = async {
            for _ in 0..200 {
                inlet.put(Bytes::from(vec![0; 1 << 20])).await;
            }
        };
        let leave = async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            drop(outlet);
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), async {
            tokio::join!(flood, leave)
        })
        .await
        .unwrap();
    }
}
