//! The request as a handler sees it: method and route, query, headers, and a body that is read once, bounded and strict.

use std::cell::{Cell, OnceCell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, header};
use sale::ids::{ItemId, OrderId, PaymentId, ReservationId, SaleId};
use sale::time::Timestamp;
use serde::de::DeserializeOwned;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::wit_future;

use crate::http::body::{self, Cut};
use crate::http::headers::{self, Headers};
use crate::http::json;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::trace::Trace;

/// The largest body that is read, in bytes.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The route in the log until a handler names one.
const NO_ROUTE: &str = "-";

/// One HTTP request, with the ids under which it is logged.
pub struct Request {
    method: Method,
    path: Path,
    /// What follows the first `?`.
    query: Option<String>,
    headers: Headers,
    /// Asked of the platform by the few who need it.
    authority: OnceCell<Option<String>>,
    /// Where the body is still to be had.
    incoming: Option<types::Request>,
    trace: Trace,
    route: Cell<&'static str>,
    /// `RateLimit-Policy` and `RateLimit`, once a limited step has run.
    limits: RefCell<Option<(String, String)>>,
    now: Timestamp,
    began: Instant,
}

impl Request {
    /// Takes over what the platform received, and of it only what every handler needs: each question is a call.
    pub(crate) fn new(incoming: types::Request) -> Self {
        let headers = Headers::new(incoming.get_headers().copy_all());
        let trace = Trace::of(&headers);
        let target = incoming.get_path_with_query().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target.as_str(), None),
        };
        Self {
            // An unknown method becomes CONNECT, which no route accepts.
            method: Method::try_from(incoming.get_method()).unwrap_or(Method::CONNECT),
            path: Path(path.into()),
            query,
            headers,
            authority: OnceCell::new(),
            incoming: Some(incoming),
            trace,
            route: Cell::new(NO_ROUTE),
            limits: RefCell::new(None),
            now: local_now(),
            began: Instant::now(),
        }
    }

    /// The path as it was sent. It does not borrow from the request, so a handler can match on its segments and still
    /// read the body.
    pub fn path(&self) -> Path {
        self.path.clone()
    }

    /// The path's segments: see [`Path::segments`].
    pub fn segments(&self) -> Vec<&str> {
        self.path.segments()
    }

    /// The id in one segment of the path, counted from 0; 404 where the segment can't be such an id.
    pub fn id<T: PathId>(&self, segment: usize) -> Result<T, Problem> {
        T::in_path(self.segments().get(segment).copied().unwrap_or_default())
    }

    /// Says which route was matched, for the log, and checks the method: 405 with `Allow` unless it is one of `methods`.
    /// Where GET is, HEAD is, and comes back as GET; the platform leaves the body out.
    pub fn on(&self, route: &'static str, methods: &[Method]) -> Result<Method, Problem> {
        self.route.set(route);
        let method = if self.method == Method::HEAD { &Method::GET } else { &self.method };
        if methods.contains(method) {
            return Ok(method.clone());
        }
        let mut allow: Vec<&str> = Vec::with_capacity(methods.len() + 1);
        for method in methods {
            allow.push(method.as_str());
            if method == Method::GET {
                allow.push("HEAD");
            }
        }
        Err(Problem::MethodNotAllowed { allow: allow.join(", ") })
    }

    /// The method as it was sent.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// All headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// A header that can be written once and is plain text; anything else counts as absent.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref()).and_then(headers::text)
    }

    /// The last line of a header that proxies add to: the one that the nearest wrote, whether it appends to the client's
    /// line or adds its own.
    pub fn last_header(&self, name: &'static str) -> Option<&str> {
        self.headers.all(name.as_ref()).next_back().and_then(headers::text)
    }

    /// The host and port that the client asked, from the request line or `Host`.
    pub fn authority(&self) -> Option<&str> {
        let asked = || self.incoming.as_ref().and_then(types::Request::get_authority);
        self.authority.get_or_init(asked).as_deref().or_else(|| self.header(header::HOST))
    }

    /// The query's parameters.
    pub fn query(&self) -> Result<Query, Problem> {
        Query::parse(self.query.as_deref().unwrap_or_default())
    }

    /// When the request arrived, by this machine's clock, which may be wrong: good for tokens, never for stock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The id under which the request is logged and answered.
    pub fn request_id(&self) -> &str {
        &self.trace.request_id
    }

    /// Notes what the answer's headers say of limits; the last step that counted has the word.
    pub(crate) fn note_limits(&self, headers: Option<(String, String)>) {
        if headers.is_some() {
            self.limits.replace(headers);
        }
    }

    pub(crate) fn take_limits(&self) -> Option<(String, String)> {
        self.limits.take()
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(crate) fn route(&self) -> &'static str {
        self.route.get()
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The body as it was sent, at most [`BODY_LIMIT`] bytes. Empty when it was taken before.
    pub async fn body(&mut self) -> Result<Bytes, Problem> {
        // A length that is announced too large is refused before a byte is read.
        let announced = self.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
            return Err(Problem::TooLarge { limit: BODY_LIMIT });
        }
        // The platform tells it of a request only for as long as it has the body.
        self.authority();
        let Some(incoming) = self.incoming.take() else { return Ok(Bytes::new()) };
        // Nothing to say to the platform about how reading went.
        let (_outcome, outcome) = wit_future::new(|| Ok(()));
        let (stream, end) = types::Request::consume_body(incoming, outcome);
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        match body::read(stream, end, announced, BODY_LIMIT).await {
            Ok(body) => Ok(body.into()),
            Err(Cut::TooLong) => Err(Problem::TooLarge { limit: BODY_LIMIT }),
            // Whoever still listens may mend it.
            Err(Cut::BrokenOff) => Err(Problem::malformed("The body ended before it was complete")),
        }
    }

    /// Refuses a body that says anything: it must be absent, or an empty JSON object.
    pub async fn empty_body(&mut self) -> Result<(), Problem> {
        #[derive(serde::Deserialize)]
        struct Nothing {}
        self.json_if_any::<Nothing>().await.map(drop)
    }

    /// The body as strict JSON, where there is one.
    pub async fn json_if_any<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Problem> {
        let body = self.body().await?;
        if body.is_empty() {
            return Ok(None);
        }
        json::check_media_type(self.header(header::CONTENT_TYPE))?;
        json::parse(&body).map(Some)
    }

    /// The body as strict JSON: [`json::parse`].
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        json::check_media_type(self.header(header::CONTENT_TYPE))?;
        json::parse(&self.body().await?)
    }
}

/// A request's path, which several may share.
#[derive(Debug, Clone)]
pub struct Path(Rc<str>);

impl Path {
    /// The parts between the slashes, still percent-encoded: no id or name that we know needs decoding, so a part that
    /// does is not found. `/` is one empty part.
    pub fn segments(&self) -> Vec<&str> {
        self.0.strip_prefix('/').unwrap_or(&self.0).split('/').collect()
    }
}

impl Deref for Path {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// An id that paths contain.
pub trait PathId: FromStr {
    /// What it names, as a 404 calls it.
    const WHAT: &'static str;

    /// The id in a segment of a path; 404 where the segment can't be such an id.
    fn in_path(segment: &str) -> Result<Self, Problem> {
        segment.parse().map_err(|_| Problem::NotFound { what: Self::WHAT })
    }
}

impl PathId for SaleId {
    const WHAT: &'static str = "sale";
}
impl PathId for ItemId {
    const WHAT: &'static str = "item";
}
impl PathId for ReservationId {
    const WHAT: &'static str = "reservation";
}
impl PathId for OrderId {
    const WHAT: &'static str = "order";
}
impl PathId for PaymentId {
    const WHAT: &'static str = "payment";
}

/// This machine's clock. Before 1970 it is taken as 1970: a token then looks not yet expired, and Redis decides the rest.
pub fn local_now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_at_its_slashes() {
        for (path, segments) in [
            ("/", &[""][..]),
            ("", &[""]),
            ("/api/items/iabcdefghij", &["api", "items", "iabcdefghij"]),
            ("/api/items/", &["api", "items", ""]),
            ("//api", &["", "api"]),
        ] {
            assert_eq!(Path(path.into()).segments(), segments, "{path}");
        }
    }

    #[test]
    fn a_segment_that_is_no_id_is_not_found() {
        assert_eq!(ItemId::in_path("iabcdefghij"), Ok("iabcdefghij".parse().unwrap()));
        for wrong in ["", "x", "sabcdefghij", "iabcdefghij%20"] {
            assert_eq!(ItemId::in_path(wrong), Err(Problem::NotFound { what: "item" }), "{wrong}");
        }
        assert_eq!(OrderId::in_path("x"), Err(Problem::NotFound { what: "order" }));
    }
}
