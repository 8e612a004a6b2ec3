//! The load generator: sends HTTP/1.1 requests over connections that stay open, one at a time on each.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The result of a load.
pub struct Outcome {
    /// The number of responses that were right.
    pub right: u64,
    /// The number of responses that were wrong.
    pub wrong: u64,
    /// The first wrong response.
    pub example: Option<String>,
    pub elapsed: Duration,
    /// Microseconds from sending a request to the last byte of its response.
    pub latency: Histogram<u64>,
}

/// A response, as `judge` gets it.
pub struct Response<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Outcome {
    fn new() -> Outcome {
        Outcome { right: 0, wrong: 0, example: None, elapsed: Duration::ZERO, latency: histogram() }
    }

    /// The number of right responses per second.
    pub fn rate(&self) -> f64 {
        self.right as f64 / self.elapsed.as_secs_f64()
    }

    /// Counts one response that took `latency`.
    pub fn note(&mut self, response: &Response<'_>, is_right: bool, latency: Duration) {
        self.latency.saturating_record(latency.as_micros() as u64);
        if is_right {
            self.right += 1;
            return;
        }
        self.wrong += 1;
        self.example.get_or_insert_with(|| {
            let text = String::from_utf8_lossy(response.body);
            format!("{} {}", response.status, text.chars().take(300).collect::<String>())
        });
    }
}

/// A histogram of microseconds, up to a minute, with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are right")
}

/// Sends the requests of `next` over that many connections until there are no more. Each connection sends its next
/// request when it has the response to the last.
///
/// `judge` gets every response with the number of its request, and returns whether it is right.
pub async fn closed_loop(
    address: SocketAddr,
    connections: usize,
    next: impl FnMut() -> Option<(usize, Bytes)>,
    judge: impl FnMut(usize, &Response<'_>) -> bool,
) -> anyhow::Result<Outcome> {
    let (next, judge) = (RefCell::new(next), RefCell::new(judge));
    let outcome = RefCell::new(Outcome::new());
    // Open all connections before the clock starts.
    let opened = try_join_all((0..connections).map(|_| Connection::open(address))).await?;
    let started = Instant::now();
    let work = opened.into_iter().map(async |mut connection| -> anyhow::Result<()> {
        loop {
            let request = next.borrow_mut()();
            let Some((number, request)) = request else { return Ok(()) };
            let sent = Instant::now();
            connection
                .exchange(&request, |response| {
                    let is_right = judge.borrow_mut()(number, response);
                    outcome.borrow_mut().note(response, is_right, sent.elapsed());
                })
                .await?;
        }
    });
    try_join_all(work).await?;
    let mut outcome = outcome.into_inner();
    outcome.elapsed = started.elapsed();
    Ok(outcome)
}

/// Repeats these requests in turn, for `time` from the first one on.
pub fn repeat_for(requests: Vec<Bytes>, time: Duration) -> impl FnMut() -> Option<(usize, Bytes)> {
    let mut started = None;
    let mut number = 0;
    move || {
        let started = *started.get_or_insert_with(Instant::now);
        if started.elapsed() >= time {
            return None;
        }
        let at = number % requests.len();
        number += 1;
        Some((at, requests[at].clone()))
    }
}

/// Gives each request once.
pub fn each_once(requests: &[Bytes]) -> impl FnMut() -> Option<(usize, Bytes)> {
    let mut requests = requests.iter().cloned().enumerate();
    move || requests.next()
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Bytes {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n");
    if let Some(token) = token {
        text.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    match body {
        Some(body) => {
            let length = body.len();
            text.push_str(&format!(
                "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ));
        }
        None if method == "POST" => text.push_str("content-length: 0\r\n\r\n"),
        None => text.push_str("\r\n"),
    }
    Bytes::from(text)
}

/// A connection that stays open.
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = connect(address).await?;
        Ok(Connection { address, stream, buffer: BytesMut::with_capacity(16 * 1024) })
    }

    /// Sends a request and passes the complete response to `see`.
    pub async fn exchange<T>(
        &mut self,
        request: &[u8],
        see: impl FnOnce(&Response<'_>) -> T,
    ) -> anyhow::Result<T> {
        self.stream.write_all(request).await.context("the server closed the connection")?;
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            self.fill().await?;
        };
        self.buffer.advance(head.length);
        let seen = match head.body {
            Body::Length(length) => {
                while self.buffer.len() < length {
                    self.fill().await?;
                }
                let body = self.buffer.split_to(length);
                see(&Response { status: head.status, body: &body })
            }
            Body::Chunked => {
                let body = self.read_chunks().await?;
                see(&Response { status: head.status, body: &body })
            }
        };
        if head.closes {
            self.stream = connect(self.address).await?;
            self.buffer.clear();
        }
        Ok(seen)
    }

    async fn read_chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (start, length) = loop {
                match httparse::parse_chunk_size(&self.buffer) {
                    Ok(httparse::Status::Complete((start, length))) => break (start, length as usize),
                    Ok(httparse::Status::Partial) => self.fill().await?,
                    Err(_) => bail!("the server sent a broken chunk"),
                }
            };
            while self.buffer.len() < start + length + 2 {
                self.fill().await?;
            }
            body.extend_from_slice(&self.buffer[start..start + length]);
            self.buffer.advance(start + length + 2);
            if length == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        let count =
            self.stream.read_buf(&mut self.buffer).await.context("the server broke the connection")?;
        if count == 0 {
            bail!("the server closed the connection in the middle of a response");
        }
        Ok(())
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The parts of a response's head that matter here.
struct Head {
    length: usize,
    status: u16,
    body: Body,
    closes: bool,
}

enum Body {
    Length(usize),
    Chunked,
}

impl Head {
    /// Returns `None` while the head is incomplete.
    fn parse(buffer: &[u8]) -> anyhow::Result<Option<Head>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => bail!("the server does not speak HTTP: {error}"),
        };
        let status = response.code.unwrap_or_default();
        let mut head = Head { length, status, body: Body::Length(0), closes: false };
        for header in response.headers.iter() {
            let value = || std::str::from_utf8(header.value).unwrap_or_default().trim();
            if header.name.eq_ignore_ascii_case("content-length") {
                head.body = Body::Length(value().parse().context("a content-length that is not a number")?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                head.body = Body::Chunked;
            } else if header.name.eq_ignore_ascii_case("connection") {
                head.closes = value().eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that sends these bytes in response to every request, in two pieces.
    async fn server(response: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                while stream.read(&mut request).await.unwrap() > 0 {
                    let (first, second) = response.split_at(response.len() / 2);
                    stream.write_all(first).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                    stream.write_all(second).await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn complete_responses_are_judged_and_counted() {
        let plain: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked: &[u8] =
            b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
        for (response, status) in [(plain, 200), (chunked, 202)] {
            let address = server(response).await;
            let requests = vec![request("GET", "/", None, None); 10];
            let outcome = closed_loop(address, 3, each_once(&requests), |number, response| {
                assert_eq!((response.status, response.body), (status, b"hello".as_slice()));
                number != 7
            })
            .await
            .unwrap();
            assert_eq!((outcome.right, outcome.wrong), (9, 1));
            assert_eq!(outcome.example.unwrap(), format!("{status} hello"));
            assert_eq!(outcome.latency.len(), 10);
        }
    }
}
