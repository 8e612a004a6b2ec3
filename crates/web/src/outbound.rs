//! Requests that a component sends, each with a deadline. The manifest says to whom it may.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use spin_sdk::wasip3::http::types::RequestOptions;
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// The root of the application that the component belongs to, for components behind HTTP routes that are granted
/// `http://self`. (The SDK's requests need a host; this is the one that Spin takes for its own.)
pub const OWN: &str = "http://self.alt";

/// The largest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 16 * 1024;

/// What came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    /// Empty where it was too long or broke off: the status had come by then, and that is what counts.
    pub body: Bytes,
}

/// Nobody answered: not granted, refused, too slow, or broken off. The text is for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer(String);

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends `body` by POST and waits for each step of the answer (the connection, the first byte, each next one) no longer
/// than `patience`.
pub async fn post(
    url: &str,
    headers: &[(HeaderName, &str)],
    body: impl Into<Bytes>,
    patience: Duration,
) -> Result<Answer, NoAnswer> {
    let options = RequestOptions::new();
    let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    // A runtime that does not know one of these uses its own.
    let _ = options.set_connect_timeout(Some(patience));
    let _ = options.set_first_byte_timeout(Some(patience));
    let _ = options.set_between_bytes_timeout(Some(patience));
    let mut request = Request::post(url).extension(RequestOptionsExtension(options));
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Full::new(body.into())).map_err(|error| NoAnswer(error.to_string()))?;
    let response =
        spin_sdk::http::send(request).await.map_err(|error| NoAnswer(format!("no answer: {error:?}")))?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_LIMIT).collect().await;
    let body = body.map(|collected| collected.to_bytes()).unwrap_or_default();
    Ok(Answer { status: head.status, body })
}
