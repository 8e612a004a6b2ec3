//! The host's own responses: problem documents (RFC 9457) for requests that no component could serve.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

/// The header that carries a request's id, in and out.
pub const REQUEST_ID: &str = "x-request-id";

/// The reason why no component served a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// 400: not HTTP, or HTTP that can't be served.
    Malformed,
    /// 404: no route matches.
    NotFound,
    /// 408: the client did not send its body in time.
    RequestTimeout,
    /// 413: the body is larger than the host accepts.
    TooLarge,
    /// 431: the head is larger than the host accepts.
    HeadTooLarge,
    /// 503: too many requests at once.
    Overloaded,
    /// 503: the component did not respond in time.
    TimedOut,
    /// 503: the component trapped, or could not be started.
    Failed,
}

impl Problem {
    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Overloaded | Self::TimedOut | Self::Failed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn slug(self) -> &'static str {
        match self {
            Self::Malformed => "malformed-request",
            Self::NotFound => "not-found",
            Self::RequestTimeout => "request-timeout",
            Self::TooLarge => "too-large",
            Self::HeadTooLarge => "head-too-large",
            Self::Overloaded | Self::TimedOut | Self::Failed => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed request",
            Self::NotFound => "Not found",
            Self::RequestTimeout => "Request timeout",
            Self::TooLarge => "Request body too large",
            Self::HeadTooLarge => "Request head too large",
            Self::Overloaded | Self::TimedOut | Self::Failed => "Temporarily unavailable",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "The request is not well-formed HTTP/1.1",
            Self::NotFound => "Nothing is served at this path",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::TooLarge => "The request body is larger than this server takes",
            Self::HeadTooLarge => "The request line or its headers are larger than this server takes",
            Self::Overloaded => "Too many requests are in work; try again shortly",
            Self::TimedOut => "The request took too long; it may or may not have had an effect",
            Self::Failed => "The request could not be completed; try again shortly",
        }
    }

    /// Whether the connection can't be used again, because the host did not read the request to its end.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::Malformed | Self::RequestTimeout | Self::TooLarge | Self::HeadTooLarge)
    }

    /// The problem as a JSON document.
    pub fn document(self, request_id: &str) -> String {
        let mut document = json!({
            "type": format!("/problems/{}", self.slug()),
            "title": self.title(),
            "status": self.status().as_u16(),
            "detail": self.detail(),
            "request_id": request_id,
        });
        if let Some(seconds) = self.retry_after() {
            document["retry_after_ms"] = (seconds * 1000).into();
        }
        document.to_string()
    }

    /// After how many seconds the client should try again, if that may help.
    pub fn retry_after(self) -> Option<u64> {
        matches!(self, Self::Overloaded | Self::TimedOut | Self::Failed).then_some(1)
    }

    /// The problem as a response. `body` makes its body from the document.
    pub fn response<B>(self, request_id: &str, body: impl FnOnce(Bytes) -> B) -> Response<B> {
        let mut response = Response::new(body(Bytes::from(self.document(request_id))));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // The document is for programs: a browser must not guess its type or run anything in it.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.ends_connection() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_all_members_and_a_503_says_when_to_try_again() {
        for problem in [
            Problem::Malformed,
            Problem::NotFound,
            Problem::RequestTimeout,
            Problem::TooLarge,
            Problem::HeadTooLarge,
            Problem::Overloaded,
            Problem::TimedOut,
            Problem::Failed,
        ] {
            let response = problem.response("r-1", |bytes| bytes);
            let document: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(document["status"], response.status().as_u16());
            assert_eq!(document["request_id"], "r-1");
            assert!(document["type"].as_str().unwrap().starts_with("/problems/"));
            assert!(
                !document["title"].as_str().unwrap().is_empty()
                    && !document["detail"].as_str().unwrap().is_empty()
            );
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff");
            let unavailable = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(response.headers().contains_key("retry-after"), unavailable);
            assert_eq!(document.get("retry_after_ms").is_some(), unavailable);
        }
    }
}
