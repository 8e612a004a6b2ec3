//! The frame of every HTTP function: it gives a request its ids, sends the response, and writes a line to the log.

use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types;

use crate::caller::page;
use crate::http::body;
use crate::http::cors::Origins;
use crate::http::problem::Problem;
use crate::http::request::{Request, local_now};
use crate::http::response::Response;
use crate::http::trace::{TRACEPARENT, X_REQUEST_ID};
use crate::platform::settings;

/// A response that took this long is always logged, in milliseconds.
const SLOW_MS: u128 = 1_000;

/// Headers of a response whose handler did not set them: it is JSON for one shopper, and no browser may render it.
const DEFAULT_HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ),
];

/// If the shop is under https, browsers must use only https for a year. This holds for this host alone: we don't know
/// whether its sub-domains have TLS.
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Makes a handler the entry point of the component `$name`.
///
/// It replaces the SDK's attribute, which builds a whole `http::Request` first: a tenth of a function's code and time.
/// `settings` are what the function may read, in the order of `[variables]` in spin.toml.
#[macro_export]
macro_rules! service {
    ($name:literal, $handler:ident, settings: $($settings:tt)+) => {
        $crate::declaration!($name, $($settings)+);
        mod component {
            struct Component;
            impl $crate::wasip3::exports::http::handler::Guest for Component {
                async fn handle(
                    request: $crate::wasip3::http::types::Request,
                ) -> Result<$crate::wasip3::http::types::Response, $crate::wasip3::http::types::ErrorCode>
                {
                    $crate::platform::settings::declare(super::declaration::SETTINGS);
                    Ok($crate::serve($name, request, super::$handler).await)
                }
            }
            $crate::wasip3::http::service::export!(Component);
        }
    };
}

/// The response to `request`: what `handler` returns, or its refusal as problem+json. No error escapes to the runtime.
pub async fn serve<H>(component: &'static str, request: types::Request, handler: H) -> types::Response
where
    H: AsyncFnOnce(&mut Request) -> Result<Response, Problem>,
{
    let mut request = Request::new(request);
    let origins = Origins::shared().await;
    let outcome = match &origins {
        Ok(origins) => match origins.preflight(&request) {
            Some(permission) => Ok(permission),
            None => handler(&mut request).await,
        },
        Err(problem) => Err(problem.clone()),
    };
    let behind_tls = page::is_behind_tls(&request).await;
    let outcome = match &behind_tls {
        Ok(_) => outcome,
        Err(problem) => Err(problem.clone()),
    };
    let (mut response, problem) = match outcome {
        Ok(response) => (response, None),
        Err(problem) => (Response::problem(&problem, request.request_id()), Some(problem)),
    };
    if let Ok(origins) = origins {
        response.headers.extend(origins.headers(&request));
    }
    if behind_tls == Ok(true) {
        response = response.with(header::STRICT_TRANSPORT_SECURITY, ONLY_TLS);
    }
    log(component, &request, &response, problem.as_ref()).await;
    send(&request, response)
}

/// Which requests are worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    /// Each of them.
    All,
    /// Our failures, slow responses, and refusals that a crowd does not get in an ordinary sale.
    Problems,
}

impl std::str::FromStr for Logged {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "problems" => Ok(Self::Problems),
            _ => Err("all or problems"),
        }
    }
}

/// Whether the setting `log_requests` asks for a line about what went well.
pub(crate) async fn logs_everything() -> Result<bool, Problem> {
    Ok(settings::or(settings::LOG_REQUESTS, Logged::All).await? == Logged::All)
}

/// A request in the log. It has no member for a token, a contact, an address or a user, so the log can't leak them.
#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    level: &'static str,
    component: &'static str,
    request_id: &'a str,
    trace_id: &'a str,
    span_id: &'a str,
    method: &'a str,
    route: &'static str,
    status: u16,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a str>,
}

async fn log(component: &'static str, request: &Request, response: &Response, problem: Option<&Problem>) {
    let took = request.began().elapsed();
    // Without the setting all is logged, and why.
    let everything = logs_everything().await;
    let worth_a_line = took.as_millis() >= SLOW_MS
        || problem.is_some_and(|problem| !problem.is_everyday())
        || everything != Ok(false);
    if !worth_a_line {
        return;
    }
    let problem = problem.or(everything.as_ref().err());
    let level = match problem {
        Some(Problem::Unavailable { .. }) => "error",
        Some(problem) if !problem.is_everyday() => "warn",
        _ => "info",
    };
    write_line(&Line {
        ts: local_now().to_string(),
        level,
        component,
        request_id: request.request_id(),
        trace_id: &request.trace().trace_id,
        span_id: &request.trace().span_id,
        method: loggable_method(request.method()),
        route: request.route(),
        status: response.status.as_u16(),
        // The clock is not more precise than microseconds.
        duration_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        problem: problem.map(Problem::slug),
        cause: problem.and_then(Problem::cause),
    });
}

/// Logs a failure that does not prevent the response.
pub fn warn(component: &'static str, request: &Request, cause: &str) {
    #[derive(Serialize)]
    struct Warning<'a> {
        ts: String,
        level: &'static str,
        component: &'static str,
        request_id: &'a str,
        cause: &'a str,
    }
    let (ts, request_id) = (local_now().to_string(), request.request_id());
    write_line(&Warning { ts, level: "warn", component, request_id, cause });
}

/// The method for the log. A caller can invent one as long as a header; the log needs only the known ones.
fn loggable_method(method: &http::Method) -> &str {
    if method.as_str().len() <= 16 { method.as_str() } else { "-" }
}

/// Writes one line of JSON to standard error in one piece, so that lines of concurrent requests don't mix.
pub(crate) fn write_line(line: &impl Serialize) {
    use std::io::Write;
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // A log that can't be written is no reason to fail the request.
        let _ = std::io::stderr().write_all(&text);
    }
}

/// Turns a response into the platform's own. The SDK's conversion would build and clone a header map on the way.
fn send(request: &Request, response: Response) -> types::Response {
    let trace = request.trace();
    let mut fields: Vec<(String, Vec<u8>)> = Vec::with_capacity(response.headers.len() + 8);
    for (name, value) in &DEFAULT_HEADERS {
        if !response.has(name) {
            fields.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
        }
    }
    for (name, value) in &response.headers {
        fields.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    if let Some((policy, state)) = request.take_allowances() {
        fields.push(("ratelimit-policy".to_owned(), policy.into_bytes()));
        fields.push(("ratelimit".to_owned(), state.into_bytes()));
    }
    fields.push((X_REQUEST_ID.as_str().to_owned(), trace.request_id.clone().into_bytes()));
    fields.push((TRACEPARENT.as_str().to_owned(), trace.traceparent().into_bytes()));
    let has_body = !matches!(response.status, http::StatusCode::NO_CONTENT | http::StatusCode::NOT_MODIFIED);
    if has_body {
        // As the length is known, the platform sends head and body in one piece, without chunks. The response to HEAD
        // is that of GET; the platform leaves the body out.
        fields
            .push((header::CONTENT_LENGTH.as_str().to_owned(), response.body.len().to_string().into_bytes()));
    }
    // Every name and value above went through the `http` crate's own checks, so the platform finds none to refuse.
    let headers = types::Fields::from_list(&fields).unwrap_or_else(|_| types::Fields::new());
    let contents = (has_body && !response.body.is_empty()).then(|| body::stream(response.body));
    let (trailers_writer, trailers) = wasip3::wit_future::new(|| Ok(None));
    // Dropping the writer resolves the future with its default: no trailers.
    drop(trailers_writer);
    let (answer, _) = types::Response::new(headers, contents, trailers);
    // The platform refuses only numbers that are no status.
    let _ = answer.set_status_code(response.status.as_u16());
    answer
}
