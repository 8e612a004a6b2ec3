//! What the host and its guests say: one line each on standard error.
//!
//! The host's own lines are JSON, like those of well-behaved guests. A guest's line that is JSON already passes
//! unchanged; any other gets the component's id in front.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// A guest's line is cut here, so that one without end can't grow memory.
const LONGEST_LINE: usize = 16 * 1024;

/// Writes a line for people who look for a cause.
pub fn error(component: Option<&str>, message: &str) {
    write("error", component, message);
}

/// Writes a line about something that mends itself.
pub fn warn(component: Option<&str>, message: &str) {
    write("warn", component, message);
}

/// Writes a line about progress.
pub fn info(component: Option<&str>, message: &str) {
    write("info", component, message);
}

fn write(level: &str, component: Option<&str>, message: &str) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis());
    let mut line = Map::new();
    line.insert("at".into(), Value::from(u64::try_from(at).unwrap_or(u64::MAX)));
    line.insert("level".into(), level.into());
    line.insert("source".into(), "host".into());
    if let Some(component) = component {
        line.insert("component".into(), component.into());
    }
    line.insert("message".into(), message.into());
    emit(&format!("{}\n", Value::Object(line)));
}

/// One write a line: lines of parallel writers stay whole. Nobody can be told that standard error is gone.
fn emit(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A guest's standard output or error.
#[derive(Clone)]
pub struct GuestOutput {
    component: Arc<str>,
    /// The line that has no end yet, shared by all streams that the guest opens.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl GuestOutput {
    /// A stream whose lines are marked with the component's id.
    pub fn new(component: Arc<str>) -> Self {
        Self { component, partial: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let Ok(mut partial) = self.partial.lock() else { return };
        let mut lines = String::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || partial.len() > LONGEST_LINE {
                self.push_line(&mut lines, &partial);
                partial.clear();
            }
        }
        if !lines.is_empty() {
            emit(&lines);
        }
    }

    fn push_line(&self, lines: &mut String, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        let structured = line.starts_with('{') && line.ends_with('}');
        if !structured {
            lines.push_str(&format!("[{}] ", self.component));
        }
        lines.push_str(line);
        lines.push('\n');
    }
}

impl Drop for GuestOutput {
    /// The last clone writes what has no end.
    fn drop(&mut self) {
        if Arc::strong_count(&self.partial) == 1
            && let Ok(partial) = self.partial.lock()
            && !partial.is_empty()
        {
            let mut lines = String::new();
            self.push_line(&mut lines, &partial);
            emit(&lines);
        }
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
