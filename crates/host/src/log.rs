//! The log of the host and its guests: lines on standard error.
//!
//! The host's own lines are JSON. A guest's line that looks like JSON, with `{` and `}` around it, is passed on unchanged.
//! Any other line of a guest gets the component's id in front.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// The most bytes of a guest's line. A longer one is cut, so that a line without end can't use up memory.
const LONGEST_LINE: usize = 16 * 1024;

/// Logs a failure that somebody may have to look into.
pub fn error(component: Option<&str>, message: &str) {
    write("error", component, message);
}

/// Logs a problem from which the host recovers by itself.
pub fn warn(component: Option<&str>, message: &str) {
    write("warn", component, message);
}

/// Logs progress.
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

/// Writes all of `text` at once, so that lines of parallel writers do not mix. A failure is ignored: there is no other
/// place to report it.
fn emit(text: &str) {
    _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A guest's standard output or error.
#[derive(Clone)]
pub struct GuestOutput {
    component: Arc<str>,
    /// The beginning of a line whose end has not come yet. All streams of the guest share it.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl GuestOutput {
    /// The output of an instance of this component.
    pub fn new(component: Arc<str>) -> Self {
        Self { component, partial: Arc::default() }
    }

    /// Logs the lines that `bytes` complete, and keeps the rest.
    fn accept(&self, bytes: &[u8]) {
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
    /// The last clone logs a line that never got its end.
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
        self.accept(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
