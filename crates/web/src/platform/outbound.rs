//! HTTP requests that a component sends, each with timeouts. The manifest grants the hosts.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{Fields, Method, Request, RequestOptions, Response, Scheme};
use spin_sdk::wasip3::wit_future;

use crate::http::body as bodies;

/// The origin of our own application, for components behind HTTP routes that are granted `http://self`. The SDK's
/// requests need a host, and Spin takes this one for its own.
pub const OWN: &str = "http://self.alt";

/// The most bytes of a body that are read.
const MOST_BODY: usize = 16 * 1024;

/// The response that came back, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub status: StatusCode,
    /// Empty if it was too long or broke off. The status had come by then, and callers need that most.
    pub body: Bytes,
}

/// No response came: the host was not granted, refused, was too slow, or broke off. The text is for logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoResponse(String);

impl std::fmt::Display for NoResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends `body` by POST. `patience` is the timeout of each step: the connection, the first byte, and each next one.
pub async fn post(
    url: &str,
    headers: &[(HeaderName, &str)],
    body: impl Into<Bytes>,
    patience: Duration,
) -> Result<Received, NoResponse> {
    let options = RequestOptions::new();
    let patience = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
    // A runtime that does not support one of these uses its own timeout.
    let _ = options.set_connect_timeout(Some(patience));
    let _ = options.set_first_byte_timeout(Some(patience));
    let _ = options.set_between_bytes_timeout(Some(patience));
    let refused = |part: &str| NoResponse(format!("a request can't have this {part}"));
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
    let response =
        client::send(request).await.map_err(|error| NoResponse(format!("no answer: {error:?}")))?;
    let status = StatusCode::from_u16(response.get_status_code()).map_err(|_| refused("answer"))?;
    let (_outcome, outcome) = wit_future::new(|| Ok(()));
    let (stream, end) = Response::consume_body(response, outcome);
    let body = bodies::read(stream, end, None, MOST_BODY).await.unwrap_or_default();
    Ok(Received { status, body: body.into() })
}
