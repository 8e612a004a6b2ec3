//! The request as a handler sees it: method, route, query and headers, and a body that is bounded and read once.

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
pub const MOST_BODY: usize = 16 * 1024;

/// The route in the log until a handler names one.
const NO_ROUTE: &str = "-";

/// One HTTP request, with the ids under which it is logged.
pub struct Request {
    method: Method,
    path: Path,
    /// What follows the first `?`.
    query: Option<String>,
    headers: Headers,
    /// Read from the platform when a handler asks for it: few do.
    authority: OnceCell<Option<String>>,
    /// The platform's request, until the body is read from it.
    incoming: Option<types::Request>,
    trace: Trace,
    route: Cell<&'static str>,
    /// `RateLimit-Policy` and `RateLimit`, once a step has counted an allowance.
    allowances: RefCell<Option<(String, String)>>,
    now: Timestamp,
    began: Instant,
}

impl Request {
    /// Reads what every handler needs from the platform's request. The rest waits until it is asked for: each read is a
    /// call.
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
            allowances: RefCell::new(None),
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

    /// Notes which route was matched, for the log, and checks the method: 405 with `Allow` unless it is one of
    /// `methods`.
    ///
    /// A route with GET also has HEAD, which is returned as GET; the platform leaves the body out.
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

    /// The value of a header, if it is plain text; anything else counts as absent.
    pub fn header(&self, name: impl AsRef<str>) -> Option<&str> {
        self.headers.get(name.as_ref()).and_then(headers::text)
    }

    /// The last line of a header that proxies add to. The nearest proxy wrote it, or appended to it.
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

    /// When the request arrived, by this machine's clock. The clock may be wrong: use it for tokens, never for stock.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The id of the request in the log and in the response.
    pub fn request_id(&self) -> &str {
        &self.trace.request_id
    }

    /// Notes the response's headers about allowances. The last step that counted one decides.
    pub(crate) fn note_allowances(&self, headers: Option<(String, String)>) {
        if headers.is_some() {
            self.allowances.replace(headers);
        }
    }

    pub(crate) fn take_allowances(&self) -> Option<(String, String)> {
        self.allowances.take()
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

    /// The body as it was sent, at most [`MOST_BODY`] bytes. Empty if it was read before.
    pub async fn body(&mut self) -> Result<Bytes, Problem> {
        // If the announced length is too large, the body is refused before a byte is read.
        let announced = self.header(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if announced.is_some_and(|length| length > MOST_BODY as u64) {
            return Err(Problem::TooLarge { limit: MOST_BODY });
        }
        // The platform can tell the authority only until the body is read.
        self.authority();
        let Some(incoming) = self.incoming.take() else { return Ok(Bytes::new()) };
        // The platform does not need to hear how reading went.
        let (_outcome, outcome) = wit_future::new(|| Ok(()));
        let (stream, end) = types::Request::consume_body(incoming, outcome);
        let announced = announced.and_then(|length| usize::try_from(length).ok());
        match body::read(stream, end, announced, MOST_BODY).await {
            Ok(body) => Ok(body.into()),
            Err(Cut::TooLong) => Err(Problem::TooLarge { limit: MOST_BODY }),
            // The caller may still be listening.
            Err(Cut::BrokenOff) => Err(Problem::malformed("The body ended before it was complete")),
        }
    }

    /// Requires that there is no body, or an empty JSON object.
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

/// This machine's clock. A time before 1970 becomes 1970: then tokens look not yet expired, and Redis decides the rest.
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
