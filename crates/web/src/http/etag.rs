//! Validators: strong ETags, and the conditions that a request may set on them (RFC 9110, section 13).

use http::StatusCode;
use http::header;
use sha2::{Digest, Sha256};

use crate::http::headers::{self, Headers};
use crate::http::problem::Problem;
use crate::http::response::Response;
use crate::http::trace::hex;

/// A strong ETag over some bytes, quotes included.
pub fn of(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(bytes)[..12]))
}

/// A strong ETag that is a document's version.
pub fn of_version(version: u64) -> String {
    format!("\"{version}\"")
}

/// Whether `If-None-Match` names `etag`, by weak comparison, or anything at all.
pub fn none_match(headers: &Headers, etag: &str) -> bool {
    let opaque = etag.strip_prefix("W/").unwrap_or(etag);
    headers
        .texts(header::IF_NONE_MATCH.as_str())
        .any(|list| list.trim() == "*" || entries(list).any(|(_, entry)| entry == opaque))
}

/// The version in `If-Match`. Every change of a document must name the version that the caller read.
pub fn if_match(headers: &Headers) -> Result<u64, Problem> {
    let missing = || Problem::invalid("If-Match", "must carry the ETag of the version that was read");
    let value = headers.get(header::IF_MATCH.as_str()).ok_or_else(missing)?;
    let text = headers::text(value).ok_or_else(missing)?.trim();
    let digits = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).ok_or_else(missing)?;
    // An entity tag of another form may belong to another document: it is valid, and does not match.
    let canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    digits.parse().ok().filter(|_| canonical).ok_or(Problem::VersionMismatch { current: None })
}

impl Response {
    /// Adds `etag`. If the caller already has this version, the response becomes 304 without a body.
    #[must_use]
    pub fn with_etag(self, etag: &str, request: &Headers) -> Self {
        let mut response = self.header(header::ETAG, etag);
        if response.status == StatusCode::OK && none_match(request, etag) {
            response.status = StatusCode::NOT_MODIFIED;
            response.body = bytes::Bytes::new();
            response.headers.retain(|(name, _)| *name != header::CONTENT_TYPE);
        }
        response
    }
}

/// The entries of a list of entity tags: whether each is weak, and its quoted part. Anything else ends the list.
fn entries(list: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let weak = rest.starts_with("W/");
        let quoted = if weak { &rest[2..] } else { rest };
        let end = quoted.strip_prefix('"')?.find('"')? + 2;
        let (entry, after) = quoted.split_at(end);
        rest = after;
        Some((weak, entry))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> Headers {
        Headers::from([(name.as_str(), value)])
    }

    #[test]
    fn if_none_match_compares_weakly_and_reads_lists() {
        for matching in ["\"a\"", "W/\"a\"", "\"x\", W/\"a\"", "\"with,comma\",\"a\"", "*", " * "] {
            assert!(none_match(&headers(header::IF_NONE_MATCH, matching), "\"a\""), "{matching}");
        }
        for other in ["\"b\"", "a", "\"a", "\"x\" \"", "w/\"a\"", ""] {
            assert!(!none_match(&headers(header::IF_NONE_MATCH, other), "\"a\""), "{other}");
        }
        assert!(!none_match(&Headers::default(), "\"a\""));
    }

    #[test]
    fn if_match_is_needed_and_is_a_version() {
        assert_eq!(if_match(&headers(header::IF_MATCH, "\"7\"")), Ok(7));
        assert_eq!(if_match(&headers(header::IF_MATCH, "\"0\"")), Ok(0), "what nobody has set yet");
        for missing in ["", "7", "*", "W/\"7\""] {
            let result = if_match(&headers(header::IF_MATCH, missing));
            assert!(
                matches!(result, Err(Problem::Invalid { fields }) if fields[0].field == "If-Match"),
                "{missing}"
            );
        }
        assert!(matches!(if_match(&Headers::default()), Err(Problem::Invalid { .. })));
        for other in ["\"x\"", "\"07\"", "\"+7\"", "\"\""] {
            let result = if_match(&headers(header::IF_MATCH, other));
            assert_eq!(result, Err(Problem::VersionMismatch { current: None }), "{other}");
        }
    }

    #[test]
    fn a_caller_who_has_the_version_gets_no_body() {
        let fresh = || Response::ok(&serde_json::json!({ "a": 1 }));
        let again = fresh().with_etag("\"1\"", &headers(header::IF_NONE_MATCH, "\"1\""));
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert!(again.has(&header::ETAG) && !again.has(&header::CONTENT_TYPE));
        let changed = fresh().with_etag("\"2\"", &headers(header::IF_NONE_MATCH, "\"1\""));
        assert_eq!(changed.status, StatusCode::OK);
    }
}
