//! The ids that follow a request through logs and services: `x-request-id` and W3C `traceparent`.

use http::HeaderName;

use crate::http::headers::{self, Headers};
use crate::platform::random;

/// The header that names a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The W3C Trace Context header.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The names of a request: its own id, its trace, and our span in that trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The caller's `x-request-id` if it is harmless, else one that we made.
    pub request_id: String,
    /// 32 hexadecimal digits; the caller's, or new.
    pub trace_id: String,
    /// 16 hexadecimal digits, new for each request.
    pub span_id: String,
    /// Two hexadecimal digits: whether the caller records the trace.
    pub flags: String,
}

impl Trace {
    /// Takes the caller's ids. Makes new ones if they are missing or unfit for a log line.
    pub fn of(headers: &Headers) -> Self {
        let random = random::bytes::<40>();
        let request_id = headers
            .get(X_REQUEST_ID.as_str())
            .and_then(headers::text)
            .filter(|id| is_request_id(id))
            .map_or_else(|| hex(&random[..16]), str::to_owned);
        let parent = headers.get(TRACEPARENT.as_str()).and_then(headers::text).and_then(parse_traceparent);
        let (trace_id, flags) = match parent {
            Some((trace_id, flags)) => (trace_id.to_owned(), flags.to_owned()),
            None => (hex(&random[16..32]), "00".to_owned()),
        };
        Self { request_id, trace_id, span_id: hex(&random[32..40]), flags }
    }

    /// The header for the response and for calls that we make in turn.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, self.span_id, self.flags)
    }
}

/// Whether it is 1 to 64 characters that any log and header can carry.
fn is_request_id(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(legal)
}

/// The trace id and flags of a valid `traceparent`. Later versions may have more parts at the end.
fn parse_traceparent(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let well_formed = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(parent_id, 16) && is_hex(flags, 2);
    let known = version != "ff" && (version != "00" || parts.next().is_none());
    (well_formed && known && !is_zero(trace_id) && !is_zero(parent_id)).then_some((trace_id, flags))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> Headers {
        Headers::from([(name.as_str(), value)])
    }

    #[test]
    fn a_harmless_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(Trace::of(&headers(X_REQUEST_ID, "a.B-9_z")).request_id, "a.B-9_z");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            let made = Trace::of(&headers(X_REQUEST_ID, bad)).request_id;
            assert_ne!(made, bad);
            assert!(is_request_id(&made));
        }
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_our_own() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = Trace::of(&headers(TRACEPARENT, parent));
        assert_eq!(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(trace.span_id, "b7ad6b7169203331");
        assert!(trace.traceparent().ends_with("-01"));
        assert!(parse_traceparent(&trace.traceparent()).is_some());
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one() {
        for bad in [
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra",
            "00-0af7651916cd43dd8448eb211c80319c",
            "nonsense",
        ] {
            assert!(parse_traceparent(bad).is_none(), "{bad}");
            assert!(parse_traceparent(&Trace::of(&headers(TRACEPARENT, bad)).traceparent()).is_some());
        }
    }
}
