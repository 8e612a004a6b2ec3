//! One client's TCP connection, as hyper reads and writes it.
//!
//! It notices what hyper does not: a request head that arrives too slowly, and idle clients. One check for the whole
//! connection is cheaper than a timer for each request.
//!
//! hyper responds to malformed requests with an empty body. This module replaces that by a problem document, like those
//! of all other errors.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::problem::Problem;

/// How long a connection may stay open without a request, and how long if other clients wait for a connection.
const IDLE: Duration = Duration::from_secs(75);
const IDLE_IN_A_CROWD: Duration = Duration::from_secs(2);
/// An automatic response of hyper has a status line and at most three short headers, so it is at most this long.
const LONGEST_AUTOMATIC_RESPONSE: usize = 200;

/// What happens on a connection, as its reader, its writer and its requests report it.
#[derive(Debug)]
pub struct Activity {
    opened: Instant,
    /// Whether a request is in work. Its own timeouts apply then.
    busy: AtomicBool,
    /// Milliseconds after `opened` when the unfinished head began to arrive; 0 if there is none.
    head_began: AtomicU64,
    /// Milliseconds after `opened` when the last request ended, or when its response last made progress after a stall.
    last_request: AtomicU64,
    /// Milliseconds after `opened` when the client stopped reading its response; 0 if it reads.
    stalled: AtomicU64,
}

/// Why a connection should be closed.
#[derive(Debug, PartialEq, Eq)]
pub enum Overdue {
    /// The head takes too long to arrive.
    Head,
    /// The client has sent no request, or read nothing of its response, for too long.
    Idle,
}

impl Activity {
    /// The activity of a connection that was just accepted.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            busy: AtomicBool::new(false),
            head_began: AtomicU64::new(0),
            last_request: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        })
    }

    /// Reports that a request's head has arrived.
    pub fn begin(&self) {
        self.busy.store(true, Ordering::Relaxed);
        self.head_began.store(0, Ordering::Relaxed);
    }

    /// Reports that the response to the request is ready.
    pub fn end(&self) {
        self.last_request.store(self.now(), Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether a request is in work.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Whether the client has been too slow. If the host is `crowded`, a client that neither sends nor reads has less
    /// time, so that others get its connection.
    pub fn overdue(&self, read_timeout: Duration, crowded: bool) -> Option<Overdue> {
        if self.is_busy() {
            return None;
        }
        let now = self.now();
        let since =
            |then: &AtomicU64| Duration::from_millis(now.saturating_sub(then.load(Ordering::Relaxed)));
        let is_set = |then: &AtomicU64| then.load(Ordering::Relaxed) != 0;
        let (idle, read_timeout) =
            if crowded { (IDLE_IN_A_CROWD, read_timeout.min(IDLE_IN_A_CROWD)) } else { (IDLE, read_timeout) };
        if is_set(&self.stalled) {
            return (since(&self.stalled) >= read_timeout).then_some(Overdue::Idle);
        }
        if is_set(&self.head_began) && since(&self.head_began) >= read_timeout {
            return Some(Overdue::Head);
        }
        (since(&self.last_request) >= idle).then_some(Overdue::Idle)
    }

    /// Notes whether the client reads its response: a write is pending while it does not.
    fn written<T>(&self, outcome: &Poll<T>) {
        let stalled = self.stalled.load(Ordering::Relaxed) != 0;
        match (outcome.is_pending(), stalled) {
            (true, false) => self.stalled.store(self.now(), Ordering::Relaxed),
            (false, true) => {
                self.stalled.store(0, Ordering::Relaxed);
                self.last_request.store(self.now(), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn bytes_arrived(&self) {
        if !self.is_busy() && self.head_began.load(Ordering::Relaxed) == 0 {
            self.head_began.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Milliseconds after `opened`, at least 1, because 0 means "never".
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// The stream under hyper.
pub struct Transport {
    stream: TokioIo<TcpStream>,
    activity: Arc<Activity>,
    /// The rest of the response that replaces an automatic one.
    replacement: Bytes,
    refused: bool,
}

impl Transport {
    /// Wraps an accepted stream.
    pub fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream: TokioIo::new(stream), activity, replacement: Bytes::new(), refused: false }
    }

    /// Whether hyper could not read a request. Then the client may still be sending it.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// The stream, for a last response after hyper is done with it.
    pub fn into_inner(self) -> TcpStream {
        self.stream.into_inner()
    }

    fn send_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.replacement.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.replacement))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.replacement.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// If `bytes` are hyper's automatic response to a request that it could not read, the problem document to send instead.
fn replacement_for(bytes: &[u8]) -> Option<Bytes> {
    if bytes.len() > LONGEST_AUTOMATIC_RESPONSE || !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?;
    let mut lines = head.trim_end().split("\r\n");
    let problem = match lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)? {
        "400" => Problem::Malformed,
        "414" | "431" => Problem::HeadTooLarge,
        _ => return None,
    };
    // A component's response has at least one header besides these.
    let automatic =
        |line: &str| ["content-length: 0", "connection: close"].contains(&line) || line.starts_with("date: ");
    lines.all(automatic).then(|| raw(problem))
}

/// The bytes of a response with this problem, which ends the connection.
pub fn raw(problem: Problem) -> Bytes {
    let response = problem.response(&crate::http::new_request_id(), |document| document);
    let status = response.status();
    let mut bytes = BytesMut::new();
    let first = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
    bytes.extend_from_slice(first.as_bytes());
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", response.body().len()).as_bytes());
    bytes.extend_from_slice(response.body());
    bytes.freeze()
}

impl Read for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.activity.bytes_arrived();
        Poll::Ready(outcome)
    }
}

impl Write for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.send_replacement(cx))?;
        if let Some(replacement) = replacement_for(bytes) {
            (self.replacement, self.refused) = (replacement, true);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.send_replacement(cx))?;
        if let [only] = slices
            && let Some(replacement) = replacement_for(only)
        {
            (self.replacement, self.refused) = (replacement, true);
            return Poll::Ready(Ok(only.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.activity.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_replacement(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.send_replacement(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_automatic_response_is_replaced() {
        let automatic =
            b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let replacement = replacement_for(automatic).unwrap();
        assert!(
            replacement
                .starts_with(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\n")
        );
        for other in [
            &b"HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            b"some body",
        ] {
            assert!(replacement_for(other).is_none());
        }
    }

    #[test]
    fn a_slow_head_is_overdue_and_a_request_in_work_is_not() {
        let activity = Activity::new();
        // Browsers open connections before they need them, so a silent client is not too slow.
        assert_eq!(activity.overdue(Duration::ZERO, false), None);
        activity.bytes_arrived();
        assert_eq!(activity.overdue(Duration::ZERO, false), Some(Overdue::Head));
        activity.begin();
        assert_eq!(activity.overdue(Duration::ZERO, false), None);
        activity.end();
        assert_eq!(activity.overdue(Duration::ZERO, true), None);
        activity.bytes_arrived();
        assert_eq!(activity.overdue(Duration::ZERO, false), Some(Overdue::Head));
    }

    #[test]
    fn a_response_that_the_client_does_not_read_is_overdue_until_it_reads_on() {
        let activity = Activity::new();
        activity.begin();
        activity.end();
        activity.written(&Poll::<()>::Pending);
        assert_eq!(activity.overdue(Duration::ZERO, false), Some(Overdue::Idle));
        activity.written(&Poll::Ready(()));
        assert_eq!(activity.overdue(Duration::ZERO, false), None);
    }
}
