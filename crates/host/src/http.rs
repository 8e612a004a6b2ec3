//! Requests: from the socket to a component and back.
//!
//! A request's body is read whole before a component sees it, so that a slow or endless client costs no instance. An answer
//! that a component gives at once leaves in one write; a longer one is streamed.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::instances::{Handler, Place};
use crate::log;
use crate::options::Limits;
use crate::problem::{Problem, REQUEST_ID};
use crate::routes::{Router, without_rest};

/// An answer that ends within this time is sent whole.
const SETTLE: Duration = Duration::from_millis(20);
/// An answer larger than this is streamed.
const LARGEST_WHOLE: usize = 256 * 1024;
/// What a client may still send of a body that is refused already, so that it gets to see the refusal.
const DISCARDED_AT_MOST: usize = 8 * 1024 * 1024;

/// What all connections share.
pub struct Service {
    router: Router<Target>,
    limits: Arc<Limits>,
    in_work: Arc<Semaphore>,
    /// Bytes of request bodies held at the moment.
    buffered: AtomicUsize,
}

/// Where a route leads.
pub struct Target {
    /// The component's id.
    pub component: Arc<str>,
    /// Its instances.
    pub handler: Handler,
    /// Headers that are the same for every request on this route.
    headers: [(HeaderName, HeaderValue); 4],
}

impl Target {
    /// A route to a component.
    ///
    /// # Errors
    /// The route holds characters that no header may.
    pub fn new(route: &str, component: Arc<str>, handler: Handler) -> anyhow::Result<Self> {
        let headers = [
            (HeaderName::from_static("spin-matched-route"), HeaderValue::from_str(route)?),
            (HeaderName::from_static("spin-raw-component-route"), HeaderValue::from_str(route)?),
            (HeaderName::from_static("spin-component-route"), HeaderValue::from_str(without_rest(route))?),
            (HeaderName::from_static("spin-base-path"), HeaderValue::from_static("/")),
        ];
        Ok(Self { component, handler, headers })
    }
}

impl Service {
    /// Serves `router` within `limits`.
    pub fn new(router: Router<Target>, limits: Arc<Limits>) -> Self {
        let in_work = Arc::new(Semaphore::new(limits.max_concurrency));
        Self { router, limits, in_work, buffered: AtomicUsize::new(0) }
    }

    /// Answers one request.
    pub async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Answer> {
        let given = request.headers().get(REQUEST_ID).and_then(valid_request_id);
        let is_head = request.method() == Method::HEAD;
        match self.try_serve(request, peer, is_head).await {
            Ok(response) => response,
            Err(problem) => problem.response(&given.unwrap_or_else(new_request_id), Answer::whole),
        }
    }

    async fn try_serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        is_head: bool,
    ) -> Result<Response<Answer>, Problem> {
        let (mut head, body) = request.into_parts();
        let host = head.headers.get(HOST).cloned();
        let uri = std::mem::take(&mut head.uri);
        let found = self.router.find(uri.path()).ok_or(Problem::NotFound)?;
        let target = found.target;
        let authority = authority(&uri, host.as_ref(), head.version)?;
        set_spin_headers(&mut head.headers, &found, &uri, &authority, peer)?;

        let asks_first = head.headers.contains_key(EXPECT);
        let body = self.read_body(body, asks_first).await?;
        // Only now: clients that send slowly, or not at all, must not keep out those whose request is complete.
        let place = self.in_work.clone().try_acquire_owned().map_err(|_| Problem::Overloaded)?;
        let place = Arc::new(place);
        head.uri = absolute(&uri, authority)?;
        let request = Request::from_parts(head, body);

        let response = target
            .handler
            .handle(place.clone(), request)
            .await
            .map_err(|error| failure(&target.component, &error))?;
        settle(response, is_head, place).await.map_err(|error| {
            log::error(Some(&target.component), &format!("the answer broke off: {error}"));
            Problem::Failed
        })
    }

    async fn read_body(&self, mut body: Incoming, asks_first: bool) -> Result<WasiBody, Problem> {
        let largest = self.limits.max_body_bytes;
        let announced = body.size_hint().lower();
        if body.is_end_stream() {
            return Ok(Empty::new().map_err(Error::from).boxed_unsync());
        }
        if announced > largest as u64 {
            // A client that asks before it sends must not be told to go on.
            if !asks_first {
                _ = timeout(self.limits.read_timeout, discard(body)).await;
            }
            return Err(Problem::TooLarge);
        }
        let mut held = Held { total: &self.buffered, bytes: 0 };
        let reading = async {
            let mut whole = BytesMut::new();
            while let Some(frame) = body.frame().await {
                // The client went away or broke the framing: nobody will read the answer.
                let frame = frame.map_err(|_| Problem::Malformed)?;
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > largest {
                    discard(body).await;
                    return Err(Problem::TooLarge);
                }
                if !held.grow(data.len(), self.limits.max_buffered_bytes) {
                    return Err(Problem::Overloaded);
                }
                whole.extend_from_slice(&data);
            }
            Ok(whole.freeze())
        };
        let whole =
            timeout(self.limits.read_timeout, reading).await.map_err(|_| Problem::RequestTimeout)??;
        Ok(Full::new(whole).map_err(Error::from).boxed_unsync())
    }
}

/// Lets a client finish sending, within bounds.
async fn discard(mut body: Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > DISCARDED_AT_MOST {
            return;
        }
    }
}

/// A share of the memory for request bodies: what has arrived, since whoever announces much and sends nothing takes none.
struct Held<'a> {
    total: &'a AtomicUsize,
    bytes: usize,
}

impl Held<'_> {
    /// Takes `bytes` more, and says whether all shares together still fit.
    fn grow(&mut self, bytes: usize, most: usize) -> bool {
        self.bytes += bytes;
        self.total.fetch_add(bytes, Ordering::Relaxed) + bytes <= most
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The host that the client speaks to: of the request line, else of the `Host` header.
fn authority(uri: &Uri, host: Option<&HeaderValue>, version: Version) -> Result<Authority, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    match host {
        Some(host) => Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()))
            .map_err(|_| Problem::Malformed),
        // HTTP/1.0 knows no Host header.
        None if version == Version::HTTP_10 => Ok(Authority::from_static("localhost")),
        None => Err(Problem::Malformed),
    }
}

fn absolute(uri: &Uri, authority: Authority) -> Result<Uri, Problem> {
    // Its parts are shared, not copied.
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).map_err(|_| Problem::Malformed)
}

/// Tells the component about its route, in the headers that Spin documents. What the client sent under these names goes.
fn set_spin_headers(
    headers: &mut HeaderMap,
    found: &crate::routes::Match<'_, Target>,
    uri: &Uri,
    authority: &Authority,
    peer: SocketAddr,
) -> Result<(), Problem> {
    let forged: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("spin-")).cloned().collect();
    for name in forged {
        headers.remove(name);
    }
    headers.reserve(8);
    let value =
        |text: String| HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|_| Problem::Malformed);
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    headers.insert(HeaderName::from_static("spin-full-url"), value(format!("http://{authority}{path}"))?);
    headers.insert(HeaderName::from_static("spin-path-info"), value(found.rest.clone())?);
    headers.insert(HeaderName::from_static("spin-client-addr"), value(peer.to_string())?);
    for (name, value) in &found.target.headers {
        headers.insert(name.clone(), value.clone());
    }
    for (name, matched) in &found.parameters {
        let name = format!("spin-path-match-{}", name.to_ascii_lowercase());
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Problem::Malformed)?;
        headers.insert(name, value((*matched).to_owned())?);
    }
    Ok(())
}

/// What a component's failure is for the client; its cause goes to the log.
fn failure(component: &str, error: &wasmtime::Error) -> Problem {
    if error.downcast_ref::<ExpirationError>().is_some() {
        log::error(Some(component), "no answer within the request timeout");
        return Problem::NoAnswer;
    }
    match error.downcast_ref::<InstantiationError<Place>>() {
        Some(failed) => log::error(Some(component), &format!("can't make an instance: {:#}", failed.error)),
        None => log::error(Some(component), &format!("a request failed: {error:#}")),
    }
    Problem::Failed
}

/// Waits a moment for the whole body, so that head and body leave in one write.
async fn settle(
    response: Response<WasiBody>,
    is_head: bool,
    place: Place,
) -> Result<Response<Answer>, Error> {
    let (mut head, mut body) = response.into_parts();
    let bodiless = is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        return Ok(Response::from_parts(head, Answer::whole(Bytes::new())));
    }
    let mut chunks = VecDeque::new();
    let mut size = 0;
    let collecting = async {
        while size <= LARGEST_WHOLE {
            match body.frame().await.transpose()? {
                None => return Ok(true),
                Some(frame) => match frame.into_data() {
                    Ok(data) => {
                        size += data.len();
                        chunks.push_back(data);
                    }
                    // Trailers, which no browser reads: the body ends here.
                    Err(_) => return Ok(true),
                },
            }
        }
        Ok::<_, Error>(false)
    };
    let complete = timeout(SETTLE, collecting).await.unwrap_or(Ok(false))?;
    if !complete {
        return Ok(Response::from_parts(head, Answer::Streamed { chunks, rest: body, _place: place }));
    }
    let whole = match (chunks.pop_front(), chunks.is_empty()) {
        (None, _) => Bytes::new(),
        (Some(only), true) => only,
        (Some(first), false) => {
            let mut whole = BytesMut::with_capacity(size);
            whole.extend_from_slice(&first);
            chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
            whole.freeze()
        }
    };
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    Ok(Response::from_parts(head, Answer::whole(whole)))
}

/// The body of an answer.
pub enum Answer {
    /// All of it.
    Whole(Full<Bytes>),
    /// What came first, and where the rest comes from.
    Streamed {
        /// Read already.
        chunks: VecDeque<Bytes>,
        /// Still to come.
        rest: WasiBody,
        /// The request is in work until its answer is sent.
        _place: Place,
    },
}

impl Answer {
    /// A body that is complete.
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed { chunks, rest, .. } => match chunks.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => Pin::new(rest).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed { chunks, rest, .. } => chunks.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}

/// A client's id, if it can be repeated in a header and a log without harm.
fn valid_request_id(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| text.to_owned())
}

/// An id that no other request of this process has.
pub fn new_request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The standard library's hash keys are random: nothing here needs to be unpredictable, only distinct.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{:016x}{:08x}", hasher.finish(), NEXT.load(Ordering::Relaxed))
}
