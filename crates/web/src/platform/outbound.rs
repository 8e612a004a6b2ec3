//! Requests that a component sends, each with a deadline. The manifest says to whom it may.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{Fields, Method, Request, RequestOptions, Response, Scheme};
use spin_sdk::wasip3::wit_future;

use crate::http::body as bodies;

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
    let refused = |part: &str| NoAnswer(format!("a request can't have this {part}"));
    let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("address"))?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(refused("scheme")),
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let body = body.into();
    let length = (header::CONTENT_LENGTH.as_str().to_owned(), body.len().to_string().into_bytes());
    let fields = headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    let fields: Vec<(String, Vec<u8>)> = fields.chain([length]).collect();
    let fields = Fields::from_list(&fields).map_err(|_| refused("header"))?;
    // Dropping the writer resolves the future with its default: no trailers.
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (request, _) = Request::new(fields, Some(bodies::stream(body)), trailers, Some(options));
    request.set_method(&Method::Post).map_err(|()| refused("method"))?;
    request.set_scheme(Some(&scheme)).map_err(|()| refused("scheme"))?;
    request.set_authority(Some(authority)).map_err(|()| refused("host"))?;
    request
        .set_path_with_query(Some(if path.is_empty() { "/" } else { path }))
        .map_err(|()| refused("path"))?;
    let response = client::send(request).await.map_err(|error| NoAnswer(format!("no answer: {error:?}")))?;
    let status = StatusCode::from_u16(response.get_status_code()).map_err(|_| refused("answer"))?;
    let (_outcome, outcome) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, outcome);
    let body = bodies::read(stream, end, None, ANSWER_LIMIT).await.unwrap_or_default();
    Ok(Answer { status, body: body.into() })
}
