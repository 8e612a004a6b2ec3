//! Every way in which a call is refused, in one enum: slugs with their statuses, titles and members.
//!
//! A handler returns `Err(Problem)`; [`crate::http::serve`] makes the response. The fields of
//! a variant may be shown to anybody, except for the `cause` of [`Problem::Unavailable`]: only the log has it.

use http::StatusCode;
use sale::time::Timestamp;
use serde_json::{Map, Value, json};

/// One input field that could not be accepted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field as the caller wrote it, with dots inside nested values: `list_price.amount`.
    pub field: String,
    /// What was expected. It is safe to show: it repeats a short piece of the input at most.
    pub message: String,
}

impl FieldError {
    /// An error of `field` in words.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// A refusal, named for what happened to the caller. The page `/problems/<slug>` explains each.
#[derive(Debug, Clone, PartialEq)]
pub enum Problem {
    /// 400. The request could not be read at all: broken JSON, broken UTF-8, an unreadable header. Mend it, then retry.
    Malformed { detail: String },
    /// 401. The session is missing, forged, expired or not for this call. Get a new one, then retry.
    Unauthorized { detail: &'static str },
    /// 401. The webhook's signature does not fit its body.
    BadSignature,
    /// 401. The webhook's signature is too old or too far in the future.
    StaleSignature,
    /// 403. The item opens later; retry then.
    NotStarted { starts_at: Timestamp, retry_after_ms: u64 },
    /// 403. An operator blocked this shopper or address.
    Blocked,
    /// 404. There is no such thing, or the caller may not know of it. `what` names the kind of thing.
    NotFound { what: &'static str },
    /// 405. `allow` lists the methods that the route has, as the header `Allow` spells them.
    MethodNotAllowed { allow: String },
    /// 409. The thing's state does not allow this step. `state` is that state, if the caller may know it.
    Conflict { detail: String, state: Option<&'static str> },
    /// 409. The shopper has as many units of the item as its cap allows.
    PurchaseLimit { limit: u32 },
    /// 410. The item's sale is over.
    Ended,
    /// 410. Nothing is left, and nothing that is held can come back.
    SoldOut,
    /// 410. The hold lapsed before checkout; its unit went to the next in line.
    HoldExpired,
    /// 412. Somebody changed it in between; `current` is the version now. Read again, then retry with its ETag.
    VersionMismatch { current: Option<u64> },
    /// 413. The body is larger than `limit` bytes.
    TooLarge { limit: usize },
    /// 415. The body is not `expected`.
    UnsupportedMediaType { expected: &'static str },
    /// 422. The request was read, but these fields can't be accepted.
    Invalid { fields: Vec<FieldError> },
    /// 422. The solution was wrong, late, used before, or another shopper's. Ask for a new challenge.
    ChallengeFailed { detail: &'static str },
    /// 429. Too many calls; retry after the time given.
    RateLimited { retry_after_ms: u64 },
    /// 503. More shoppers wait than the sale could serve; retry after the time given.
    QueueFull { retry_after_ms: u64 },
    /// 503. The operator paused the sale; retry after the time given.
    Paused { retry_after_ms: u64 },
    /// 503. Redis, the key-value store or the order database is out of reach; retry safely. `cause` is logged, never sent.
    Unavailable { retry_after_ms: u64, cause: String },
}

impl Problem {
    /// A 422 that names one field.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { fields: vec![FieldError::new(field, message)] }
    }

    /// A 400 in words.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed { detail: detail.into() }
    }

    /// A 409 in words.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict { detail: detail.into(), state: None }
    }

    /// A 503 whose cause is for the log only. The caller may retry after a second: that is long enough for a reconnect
    /// and short enough for a sale.
    pub fn unavailable(cause: impl std::fmt::Display) -> Self {
        Self::Unavailable { retry_after_ms: 1_000, cause: cause.to_string() }
    }

    /// The last segment of the problem's `type`, and its anchor in docs/problems.md.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Unauthorized { .. } => "unauthorized",
            Self::BadSignature => "bad-signature",
            Self::StaleSignature => "stale-signature",
            Self::NotStarted { .. } => "not-started",
            Self::Blocked => "blocked",
            Self::NotFound { .. } => "not-found",
            Self::MethodNotAllowed { .. } => "method-not-allowed",
            Self::Conflict { .. } => "conflict",
            Self::PurchaseLimit { .. } => "purchase-limit",
            Self::Ended => "ended",
            Self::SoldOut => "sold-out",
            Self::HoldExpired => "hold-expired",
            Self::VersionMismatch { .. } => "version-mismatch",
            Self::TooLarge { .. } => "too-large",
            Self::UnsupportedMediaType { .. } => "unsupported-media-type",
            Self::Invalid { .. } => "invalid",
            Self::ChallengeFailed { .. } => "challenge-failed",
            Self::RateLimited { .. } => "rate-limited",
            Self::QueueFull { .. } => "queue-full",
            Self::Paused { .. } => "paused",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// The response's status.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } | Self::BadSignature | Self::StaleSignature => StatusCode::UNAUTHORIZED,
            Self::NotStarted { .. } | Self::Blocked => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } | Self::PurchaseLimit { .. } => StatusCode::CONFLICT,
            Self::Ended | Self::SoldOut | Self::HoldExpired => StatusCode::GONE,
            Self::VersionMismatch { .. } => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid { .. } | Self::ChallengeFailed { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::QueueFull { .. } | Self::Paused { .. } | Self::Unavailable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// A few words, the same for every problem of this slug.
    pub fn title(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "The request can't be read",
            Self::Unauthorized { .. } => "A valid session is needed",
            Self::BadSignature => "The signature is wrong",
            Self::StaleSignature => "The signature is too old",
            Self::NotStarted { .. } => "The sale has not started",
            Self::Blocked => "This shopper is blocked",
            Self::NotFound { .. } => "Not found",
            Self::MethodNotAllowed { .. } => "The method is not allowed here",
            Self::Conflict { .. } => "The present state does not allow this",
            Self::PurchaseLimit { .. } => "The purchase limit is reached",
            Self::Ended => "The sale has ended",
            Self::SoldOut => "Sold out",
            Self::HoldExpired => "The hold has expired",
            Self::VersionMismatch { .. } => "It was changed in between",
            Self::TooLarge { .. } => "The body is too large",
            Self::UnsupportedMediaType { .. } => "The body's media type is not supported",
            Self::Invalid { .. } => "Some fields can't be accepted",
            Self::ChallengeFailed { .. } => "The challenge was not passed",
            Self::RateLimited { .. } => "Too many requests",
            Self::QueueFull { .. } => "The queue is full",
            Self::Paused { .. } => "The sale is paused",
            Self::Unavailable { .. } => "Temporarily unavailable",
        }
    }

    /// What happened this time, in words that are safe to show.
    fn detail(&self) -> String {
        match self {
            Self::Malformed { detail } => detail.clone(),
            Self::Unauthorized { detail } | Self::ChallengeFailed { detail } => (*detail).to_owned(),
            Self::BadSignature => "The signature does not fit the body and the provider's key".to_owned(),
            Self::StaleSignature => "The signature's time is too far from now".to_owned(),
            Self::NotStarted { starts_at, .. } => format!("The sale starts at {starts_at}"),
            Self::Blocked => "The operator has blocked this shopper or address".to_owned(),
            Self::NotFound { what } => format!("There is no such {what} here"),
            Self::MethodNotAllowed { allow } => format!("Only {allow} can be used here"),
            Self::Conflict { detail, .. } => detail.clone(),
            Self::PurchaseLimit { limit: 1 } => "One shopper may have one unit of this item".to_owned(),
            Self::PurchaseLimit { limit } => {
                format!("One shopper may have {limit} units of this item")
            }
            Self::Ended => "This item is not sold any more".to_owned(),
            Self::SoldOut => "Every unit of this item has gone".to_owned(),
            Self::HoldExpired => "The hold was not checked out in time, and its unit went back".to_owned(),
            Self::VersionMismatch { .. } => "The version in If-Match is not the current one".to_owned(),
            Self::TooLarge { limit } => format!("A body may have at most {limit} bytes"),
            Self::UnsupportedMediaType { expected } => format!("The body must be {expected}"),
            Self::Invalid { fields } => fields
                .iter()
                .map(|error| format!("{}: {}", error.field, error.message))
                .collect::<Vec<_>>()
                .join("; "),
            Self::RateLimited { .. } => "Too many requests from here in a short time".to_owned(),
            Self::QueueFull { .. } => "More people are waiting than this sale could serve".to_owned(),
            Self::Paused { .. } => "The operator has paused this sale for a moment".to_owned(),
            Self::Unavailable { .. } => "Nothing was lost; the same request can be sent again".to_owned(),
        }
    }

    /// After how many milliseconds a retry makes sense, if that is known.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::NotStarted { retry_after_ms, .. }
            | Self::RateLimited { retry_after_ms }
            | Self::QueueFull { retry_after_ms }
            | Self::Paused { retry_after_ms }
            | Self::Unavailable { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::Malformed { .. }
            | Self::Unauthorized { .. }
            | Self::BadSignature
            | Self::StaleSignature
            | Self::Blocked
            | Self::NotFound { .. }
            | Self::MethodNotAllowed { .. }
            | Self::Conflict { .. }
            | Self::PurchaseLimit { .. }
            | Self::Ended
            | Self::SoldOut
            | Self::HoldExpired
            | Self::VersionMismatch { .. }
            | Self::TooLarge { .. }
            | Self::UnsupportedMediaType { .. }
            | Self::Invalid { .. }
            | Self::ChallengeFailed { .. } => None,
        }
    }

    /// The cause, for the log only.
    pub fn cause(&self) -> Option<&str> {
        match self {
            Self::Unavailable { cause, .. } => Some(cause),
            _ => None,
        }
    }

    /// Whether a crowd gets this refusal in an ordinary sale. Then it is not worth a log line each time.
    pub fn is_everyday(&self) -> bool {
        matches!(
            self,
            Self::NotStarted { .. }
                | Self::PurchaseLimit { .. }
                | Self::Ended
                | Self::SoldOut
                | Self::HoldExpired
                | Self::ChallengeFailed { .. }
                | Self::RateLimited { .. }
                | Self::QueueFull { .. }
                | Self::Paused { .. }
        )
    }

    /// The `application/problem+json` document.
    pub fn document(&self, request_id: &str) -> Value {
        let mut document = Map::new();
        document.insert("type".to_owned(), json!(format!("/problems/{}", self.slug())));
        document.insert("title".to_owned(), json!(self.title()));
        document.insert("status".to_owned(), json!(self.status().as_u16()));
        document.insert("detail".to_owned(), json!(self.detail()));
        document.insert("request_id".to_owned(), json!(request_id));
        if let Some(retry_after_ms) = self.retry_after_ms() {
            document.insert("retry_after_ms".to_owned(), json!(retry_after_ms));
        }
        match self {
            Self::NotStarted { starts_at, .. } => {
                document.insert("starts_at".to_owned(), json!(starts_at));
            }
            Self::Conflict { state: Some(state), .. } => {
                document.insert("state".to_owned(), json!(state));
            }
            Self::PurchaseLimit { limit } => {
                document.insert("limit".to_owned(), json!(limit));
            }
            Self::VersionMismatch { current: Some(version) } => {
                document.insert("version".to_owned(), json!(version));
            }
            Self::Invalid { fields } => {
                let errors: Vec<Value> = fields
                    .iter()
                    .map(|error| json!({ "field": error.field, "message": error.message }))
                    .collect();
                document.insert("errors".to_owned(), Value::Array(errors));
            }
            _ => {}
        }
        Value::Object(document)
    }

    /// The headers of this problem, without its media type.
    pub fn headers(&self) -> Vec<(http::HeaderName, String)> {
        let mut headers = Vec::new();
        let status = self.status();
        if let Some(milliseconds) = self.retry_after_ms()
            && (status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE)
        {
            // The header has whole seconds only. Rounded up, the crowd does not come back too early.
            let seconds = milliseconds.div_ceil(1_000).max(1);
            headers.push((http::header::RETRY_AFTER, seconds.to_string()));
        }
        match self {
            Self::MethodNotAllowed { allow } => headers.push((http::header::ALLOW, allow.clone())),
            Self::Unauthorized { .. } => headers.push((http::header::WWW_AUTHENTICATE, "Bearer".to_owned())),
            _ => {}
        }
        headers
    }

    /// One of each variant, for the tests' tables.
    #[cfg(test)]
    pub(crate) fn examples() -> Vec<Self> {
        vec![
            Self::malformed("line 1"),
            Self::Unauthorized { detail: "No session" },
            Self::BadSignature,
            Self::StaleSignature,
            Self::NotStarted { starts_at: Timestamp::from_millis(1_795_255_200_000), retry_after_ms: 1_500 },
            Self::Blocked,
            Self::NotFound { what: "item" },
            Self::MethodNotAllowed { allow: "GET, HEAD".to_owned() },
            Self::Conflict { detail: "It is paid".to_owned(), state: Some("paid") },
            Self::PurchaseLimit { limit: 2 },
            Self::Ended,
            Self::SoldOut,
            Self::HoldExpired,
            Self::VersionMismatch { current: Some(3) },
            Self::TooLarge { limit: 16_384 },
            Self::UnsupportedMediaType { expected: "application/json" },
            Self::invalid("quantity", "must be a whole number"),
            Self::ChallengeFailed { detail: "The answer is wrong" },
            Self::RateLimited { retry_after_ms: 1_001 },
            Self::QueueFull { retry_after_ms: 2_000 },
            Self::Paused { retry_after_ms: 1 },
            Self::unavailable("connection refused to secret-host:6379"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_in_full_and_explained_in_the_docs() {
        let docs = include_str!("../../../../docs/problems.md");
        let mut slugs = Vec::new();
        for problem in Problem::examples() {
            let slug = problem.slug();
            let document = problem.document("req-1");
            assert_eq!(document["type"], format!("/problems/{slug}"));
            assert_eq!(document["status"], problem.status().as_u16());
            assert_eq!(document["request_id"], "req-1");
            assert!(
                !document["title"].as_str().unwrap().is_empty()
                    && !document["detail"].as_str().unwrap().is_empty()
            );
            let heading = format!("\n## {slug}\n\n{} ", problem.status().as_u16());
            assert!(
                docs.contains(&heading),
                "docs/problems.md has no section {slug} that begins with its status"
            );
            slugs.push(slug);
        }
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), 22);
        assert_eq!(docs.matches("\n## ").count(), 22, "docs/problems.md explains problems that do not exist");
    }

    #[test]
    fn the_statuses_are_those_of_the_contract() {
        let statuses = |status: u16| {
            let mut slugs: Vec<_> = Problem::examples()
                .into_iter()
                .filter(|problem| problem.status().as_u16() == status)
                .map(|problem| problem.slug())
                .collect();
            slugs.sort_unstable();
            slugs
        };
        assert_eq!(statuses(400), ["malformed"]);
        assert_eq!(statuses(401), ["bad-signature", "stale-signature", "unauthorized"]);
        assert_eq!(statuses(403), ["blocked", "not-started"]);
        assert_eq!(statuses(404), ["not-found"]);
        assert_eq!(statuses(405), ["method-not-allowed"]);
        assert_eq!(statuses(409), ["conflict", "purchase-limit"]);
        assert_eq!(statuses(410), ["ended", "hold-expired", "sold-out"]);
        assert_eq!(statuses(412), ["version-mismatch"]);
        assert_eq!(statuses(413), ["too-large"]);
        assert_eq!(statuses(415), ["unsupported-media-type"]);
        assert_eq!(statuses(422), ["challenge-failed", "invalid"]);
        assert_eq!(statuses(429), ["rate-limited"]);
        assert_eq!(statuses(503), ["paused", "queue-full", "unavailable"]);
    }

    #[test]
    fn a_caller_who_should_retry_is_told_when() {
        for problem in Problem::examples() {
            let header = |name: http::HeaderName| {
                problem.headers().into_iter().find(|(present, _)| *present == name).map(|(_, value)| value)
            };
            let needed = matches!(problem.status().as_u16(), 429 | 503);
            assert_eq!(header(http::header::RETRY_AFTER).is_some(), needed, "{}", problem.slug());
            assert!(!needed || problem.document("")["retry_after_ms"].is_u64(), "{}", problem.slug());
        }
        let headers = Problem::RateLimited { retry_after_ms: 1_001 }.headers();
        assert_eq!(headers, [(http::header::RETRY_AFTER, "2".to_owned())]);
    }

    #[test]
    fn a_cause_is_for_the_log_only() {
        let problem = Problem::unavailable("connection refused to secret-host:6379");
        assert!(!problem.document("r").to_string().contains("secret-host"));
        assert_eq!(problem.cause(), Some("connection refused to secret-host:6379"));
    }
}
