//! An HTTP client on a plain socket, so that a test can also send malformed requests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Checks that this is a complete problem document of the type `slug`, and returns its status.
    pub fn problem(&self, slug: &str) -> u16 {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(document["type"], format!("/problems/{slug}"), "{self:?}");
        assert_eq!(document["status"], self.status);
        assert_eq!(document["request_id"].as_str(), self.header("x-request-id"));
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        }
        if self.status == 503 {
            assert!(self.header("retry-after").is_some() && document["retry_after_ms"].is_u64(), "{self:?}");
        }
        self.status
    }
}

impl Client {
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[], "")
    }

    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.send(method, path, headers, body);
        self.read(method == "HEAD")
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test.example\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.write(format!("{head}\r\n{body}").as_bytes());
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Everything that arrives with the next read, unparsed.
    pub fn next_packet(&mut self) -> String {
        self.fill();
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    pub fn read(&mut self, is_head: bool) -> Response {
        let end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill() > 0, "the connection ended: {}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = Response { status, headers, body: String::new() };
        let body = match response.header("transfer-encoding") {
            _ if is_head || status == 204 || status == 304 => Vec::new(),
            Some("chunked") => self.read_chunks(),
            _ => {
                let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
                self.read_bytes(length)
            }
        };
        response.body = String::from_utf8(body).unwrap();
        response
    }

    /// Whether the other side has ended the connection.
    pub fn is_closed(&mut self) -> bool {
        self.fill() == 0
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match find(&self.buffer, b"\r\n") {
                    Some(end) => break end,
                    None => assert!(self.fill() > 0, "the connection ended in a body"),
                }
            };
            let line = self.read_bytes(end + 2);
            let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            body.extend(self.read_bytes(size));
            self.read_bytes(2);
            if size == 0 {
                return body;
            }
        }
    }

    /// Removes the next `count` bytes from the stream.
    fn read_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill() > 0, "the connection ended in a body");
        }
        self.buffer.drain(..count).collect()
    }

    fn fill(&mut self) -> usize {
        let mut part = [0; 64 * 1024];
        let count = self.stream.read(&mut part).unwrap_or(0);
        self.buffer.extend_from_slice(&part[..count]);
        count
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
