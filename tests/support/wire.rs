//! HTTP that no library would send: bytes on a socket, and the bytes that come back.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for a response, or for the connection's end, before it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection to a host.
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A response as it came.
#[derive(Debug)]
pub struct WireResponse {
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    pub body: Vec<u8>,
}

impl Wire {
    /// Connects to a host by its root, as in `http://127.0.0.1:3000`.
    pub async fn open(base: &str) -> Wire {
        let address = base.strip_prefix("http://").expect("hosts of tests speak plain HTTP");
        let stream = TcpStream::connect(address).await.expect("the host accepts connections");
        stream.set_nodelay(true).expect("a socket has this option");
        Wire { stream, buffer: Vec::new() }
    }

    /// Sends all of it, unless the other side closes the connection before.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will come.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next response; nothing where the connection ends without one.
    pub async fn response(&mut self) -> Option<WireResponse> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await {
                assert!(self.buffer.is_empty(), "half a response: {}", self.rest());
                return None;
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let status =
            head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{head}"));
        let response = WireResponse { status, head, body: Vec::new() };
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.buffer.len() < length {
            assert!(self.fill().await, "the response breaks off: {}", response.head);
        }
        let body = self.buffer.drain(..length).collect();
        Some(WireResponse { body, ..response })
    }

    /// Every response up to the end of the connection, which the other side has to close.
    pub async fn responses(mut self) -> Vec<WireResponse> {
        let mut responses = Vec::new();
        while let Some(response) = self.response().await {
            responses.push(response);
        }
        responses
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end too.
        matches!(read.unwrap_or_else(|_| panic!("no response in {PATIENCE:?}: {}", self.rest())), Ok(1..))
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

impl WireResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
