//! The response that a handler builds: a status, headers, and a body that is complete.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::http::problem::Problem;

/// Which caches may keep a response, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// None: it belongs to one shopper, or is the outcome of a change. The default.
    Private,
    /// Any cache, for this many seconds.
    Public { seconds: u32 },
}

/// A complete response. Headers keep the order in which they were set; `x-request-id`, `traceparent` and the security
/// headers are added by [`crate::http::serve`].
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers without those that every response carries.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// All of the body. A static slice costs nothing here.
    pub body: Bytes,
}

impl Response {
    /// A response without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// A response with a JSON body that no cache may keep.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::bytes(status, HeaderValue::from_static("application/json"), body),
            // Only a bug of ours leads here: a map whose keys are no strings, or a failing `Serialize`.
            Err(error) => Self::problem(&Problem::unavailable(format_args!("can't write JSON: {error}")), ""),
        }
    }

    /// 200 with a JSON body.
    pub fn ok(value: &impl Serialize) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// 201 with a JSON body.
    pub fn created(value: &impl Serialize) -> Self {
        Self::json(StatusCode::CREATED, value)
    }

    /// 202 with a JSON body.
    pub fn accepted(value: &impl Serialize) -> Self {
        Self::json(StatusCode::ACCEPTED, value)
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// A response with a body of any media type.
    pub fn bytes(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![(header::CONTENT_TYPE, media_type)], body: body.into() }
    }

    /// The response to a refusal.
    pub fn problem(problem: &Problem, request_id: &str) -> Self {
        let body = problem.document(request_id).to_string();
        let media_type = HeaderValue::from_static("application/problem+json");
        let mut response = Self::bytes(problem.status(), media_type, body);
        for (name, value) in problem.headers() {
            response = response.header(name, &value);
        }
        response
    }

    /// Adds a header. A value with control characters is left out; we never write one.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds a header whose value is known to be one.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets which caches may keep the response.
    #[must_use]
    pub fn caching(self, caching: Caching) -> Self {
        match caching {
            Caching::Private => self.header(header::CACHE_CONTROL, "no-store"),
            Caching::Public { seconds } => {
                self.header(header::CACHE_CONTROL, &format!("public, max-age={seconds}, must-revalidate"))
            }
        }
    }

    /// Whether a header is set already.
    pub fn has(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|(present, _)| present == name)
    }
}
