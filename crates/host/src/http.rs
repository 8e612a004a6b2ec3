//! Passes requests from the socket to a component, and its responses back.
//!
//! The host reads all of a request's body before it calls a component, so that a slow client occupies no instance. A
//! response that is complete at once leaves in one write; any other is streamed.

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

/// How long to wait for the end of a response, to send it in one write.
const COLLECT_TIMEOUT: Duration = Duration::from_millis(20);
/// A response body with more bytes than this is streamed.
const LARGEST_COLLECTED: usize = 256 * 1024;
/// How many bytes of a refused body the client may still send. Many clients read the refusal only after they have sent
/// everything.
const MOST_DISCARDED: usize = 8 * 1024 * 1024;

/// Serves the requests of all connections.
pub struct Service {
    router: Router<Target>,
    limits: Arc<Limits>,
    in_work: Arc<Semaphore>,
    /// Bytes of all request bodies that their components have not read yet.
    buffered: Arc<AtomicUsize>,
}

/// The component that a route leads to.
pub struct Target {
    /// The component's id.
    pub component: Arc<str>,
    /// The component's instances.
    pub handler: Handler,
    /// The headers that are the same for every request on this route.
    headers: [(HeaderName, HeaderValue); 4],
}

impl Target {
    /// The target of `route`.
    ///
    /// # Errors
    /// Fails if the route contains a character that no header may contain.
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
        Self { router, limits, in_work, buffered: Arc::default() }
    }

    /// Serves one request. Every failure becomes a problem document.
    pub async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<ResponseBody> {
        let given = request.headers().get(REQUEST_ID).and_then(valid_request_id);
        let is_head = request.method() == Method::HEAD;
        match self.try_serve(request, peer, is_head).await {
            Ok(response) => response,
            Err(problem) => problem.response(&given.unwrap_or_else(new_request_id), ResponseBody::complete),
        }
    }

    async fn try_serve(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        is_head: bool,
    ) -> Result<Response<ResponseBody>, Problem> {
        let (mut head, body) = request.into_parts();
        let host = head.headers.get(HOST).cloned();
        let uri = std::mem::take(&mut head.uri);
        let found = self.router.find(uri.path()).ok_or(Problem::NotFound)?;
        let target = found.target;
        let authority = authority(&uri, host.as_ref(), head.version)?;
        set_spin_headers(&mut head.headers, &found, &uri, &authority, peer)?;

        let asks_first = head.headers.contains_key(EXPECT);
        let body = self.read_body(body, asks_first).await?;
        // A request counts as in work only when it is complete. Otherwise slow clients would keep out all others.
        let place = self.in_work.clone().try_acquire_owned().map_err(|_| Problem::Overloaded)?;
        let place = Arc::new(place);
        head.uri = absolute(&uri, authority)?;
        let request = Request::from_parts(head, body);

        let response = target
            .handler
            .handle(place.clone(), request)
            .await
            .map_err(|error| failure(&target.component, &error))?;
        send_at_once_or_stream(response, is_head, place).await.map_err(|error| {
            log::error(Some(&target.component), &format!("the response broke off: {error}"));
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
            // A client that asks first (`Expect: 100-continue`) has sent nothing. Reading would tell it to go on.
            if !asks_first {
                _ = timeout(self.limits.read_timeout, discard(body)).await;
            }
            return Err(Problem::TooLarge);
        }
        let mut buffered = Buffered { total: self.buffered.clone(), bytes: 0 };
        let reading = async {
            let mut whole = BytesMut::new();
            while let Some(frame) = body.frame().await {
                // The client has left or its framing is broken. Most likely nobody reads the response.
                let frame = frame.map_err(|_| Problem::Malformed)?;
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > largest {
                    discard(body).await;
                    return Err(Problem::TooLarge);
                }
                if !buffered.grow(data.len(), self.limits.max_buffered_bytes) {
                    return Err(Problem::Overloaded);
                }
                whole.extend_from_slice(&data);
            }
            Ok(whole.freeze())
        };
        let whole =
            timeout(self.limits.read_timeout, reading).await.map_err(|_| Problem::RequestTimeout)??;
        Ok(Counted { body: Full::new(whole), _buffered: buffered }.map_err(Error::from).boxed_unsync())
    }
}

/// Reads and forgets the rest of a body, up to [`MOST_DISCARDED`].
async fn discard(mut body: Incoming) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MOST_DISCARDED {
            return;
        }
    }
}

/// The memory of one request's body. Only bytes that have arrived count, so a client that announces a large body and sends
/// nothing keeps nobody out.
struct Buffered {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Buffered {
    /// Adds `bytes`, and returns whether all bodies together are still within `most`.
    fn grow(&mut self, bytes: usize, most: usize) -> bool {
        self.bytes += bytes;
        self.total.fetch_add(bytes, Ordering::Relaxed) + bytes <= most
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A complete request body. Its memory counts until the component drops it: when it has read it, or with its request.
struct Counted {
    body: Full<Bytes>,
    _buffered: Buffered,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The host that the client names: in the request line, or else in the `Host` header.
fn authority(uri: &Uri, host: Option<&HeaderValue>, version: Version) -> Result<Authority, Problem> {
    if let Some(authority) = uri.authority() {
        return Ok(authority.clone());
    }
    match host {
        Some(host) => Authority::from_maybe_shared(Bytes::copy_from_slice(host.as_bytes()))
            .map_err(|_| Problem::Malformed),
        // HTTP/1.0 has no Host header.
        None if version == Version::HTTP_10 => Ok(Authority::from_static("localhost")),
        None => Err(Problem::Malformed),
    }
}

/// Completes a URI with the scheme and the authority.
fn absolute(uri: &Uri, authority: Authority) -> Result<Uri, Problem> {
    // Cloning is cheap: the parts of a URI are shared, not copied.
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    if parts.path_and_query.is_none() {
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
    }
    Uri::from_parts(parts).map_err(|_| Problem::Malformed)
}

/// Sets the headers in which Spin tells a component about its route. Removes headers of the client that begin with
/// `spin-`, so that a client can't forge them.
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

/// Logs why a component failed, and returns the problem for the client.
fn failure(component: &str, error: &wasmtime::Error) -> Problem {
    if error.downcast_ref::<ExpirationError>().is_some() {
        log::error(Some(component), "no response within the request timeout");
        return Problem::TimedOut;
    }
    match error.downcast_ref::<InstantiationError<Place>>() {
        Some(failed) => log::error(Some(component), &format!("can't make an instance: {:#}", failed.error)),
        None => log::error(Some(component), &format!("a request failed: {error:#}")),
    }
    Problem::Failed
}

/// Waits a moment for the end of the body, so that head and body leave in one write. Streams a body that takes longer.
async fn send_at_once_or_stream(
    response: Response<WasiBody>,
    is_head: bool,
    place: Place,
) -> Result<Response<ResponseBody>, Error> {
    let (mut head, mut body) = response.into_parts();
    let bodiless = is_head || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        return Ok(Response::from_parts(head, ResponseBody::complete(Bytes::new())));
    }
    let mut chunks = VecDeque::new();
    let mut size = 0;
    let collecting = async {
        while size <= LARGEST_COLLECTED {
            match body.frame().await.transpose()? {
                None => return Ok(true),
                Some(frame) => match frame.into_data() {
                    Ok(data) => {
                        size += data.len();
                        chunks.push_back(data);
                    }
                    // Trailers end the body. No browser reads them, so they are dropped.
                    Err(_) => return Ok(true),
                },
            }
        }
        Ok::<_, Error>(false)
    };
    let complete = timeout(COLLECT_TIMEOUT, collecting).await.unwrap_or(Ok(false))?;
    if !complete {
        return Ok(Response::from_parts(head, ResponseBody::Streamed { chunks, rest: body, _place: place }));
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
    Ok(Response::from_parts(head, ResponseBody::complete(whole)))
}

/// The body of a response.
pub enum ResponseBody {
    /// A complete body.
    Complete(Full<Bytes>),
    /// A body whose end has not come yet.
    Streamed {
        /// The part that has arrived.
        chunks: VecDeque<Bytes>,
        /// The part that is still to come.
        rest: WasiBody,
        /// The request counts as in work until its response is sent.
        _place: Place,
    },
}

impl ResponseBody {
    /// A complete body.
    pub fn complete(bytes: Bytes) -> Self {
        Self::Complete(Full::new(bytes))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.get_mut() {
            Self::Complete(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed { chunks, rest, .. } => match chunks.pop_front() {
                Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
                None => Pin::new(rest).poll_frame(cx),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Complete(body) => body.is_end_stream(),
            Self::Streamed { chunks, rest, .. } => chunks.is_empty() && rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(body) => body.size_hint(),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}

/// The client's id of a request, if it is safe to repeat in a header and in a log.
fn valid_request_id(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?;
    let valid = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    valid.then(|| text.to_owned())
}

/// An id that no other request of this process has.
pub fn new_request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Ids must be distinct, and may be predictable. The random keys of the standard library's hash are enough for that.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{:016x}{:08x}", hasher.finish(), NEXT.load(Ordering::Relaxed))
}
