//! Which pages of other sites may call the API from a browser: those that the setting `cors_origins` names.
//!
//! A named origin may also use the shopper's cookie. `*` lets every page call and read, but never with the cookie: such
//! a page can do no more than a program with a token.

use std::cell::RefCell;
use std::rc::Rc;
use std::str::FromStr;

use http::{HeaderName, HeaderValue, Method, header};

use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::platform::settings;

/// The headers that a page of another site may send, beyond those that browsers always allow.
const ALLOWED_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, if-match, if-none-match, traceparent, x-request-id",
);
/// What it may read of a response, beyond the body.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static(
    "allow, etag, location, retry-after, ratelimit, ratelimit-policy, traceparent, x-request-id",
);
/// How long a browser may remember the permission, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
const ANY: HeaderValue = HeaderValue::from_static("*");
const YES: HeaderValue = HeaderValue::from_static("true");

/// The setting `cors_origins`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// Origins as browsers write them: `https://shop.example`, in lower case and without a default port.
    named: Vec<String>,
    /// Whether `*` stands among them.
    any: bool,
}

impl FromStr for Origins {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut origins = Self::default();
        for entry in text.split([',', ' ']).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                origins.any = true;
            } else {
                let origin = Origin::parse(entry).ok_or("origins like https://shop.example, or *")?;
                origins.named.push(origin.to_string());
            }
        }
        Ok(origins)
    }
}

/// What `origin` may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    None,
    /// Calls and reads, without the cookie.
    Bare,
    /// Calls and reads, and the cookie counts.
    WithCookie,
}

impl Origins {
    /// The setting, read once an instance.
    pub async fn shared() -> Result<Rc<Self>, Problem> {
        thread_local! {
            static SHARED: RefCell<Option<Rc<Origins>>> = const { RefCell::new(None) };
        }
        if let Some(shared) = SHARED.with_borrow(Clone::clone) {
            return Ok(shared);
        }
        // A function that does not declare the setting is for our own pages only.
        let origins = if settings::is_declared(settings::CORS_ORIGINS) {
            settings::get::<Self>(settings::CORS_ORIGINS).await?
        } else {
            Self::default()
        };
        let origins = Rc::new(origins);
        SHARED.set(Some(origins.clone()));
        Ok(origins)
    }

    /// Whether pages of this origin act with the shopper's cookie as our own do.
    pub fn names(&self, origin: &str) -> bool {
        self.access(origin) == Access::WithCookie
    }

    fn are_closed(&self) -> bool {
        self.named.is_empty() && !self.any
    }

    fn access(&self, origin: &str) -> Access {
        if self.named.iter().any(|named| named.eq_ignore_ascii_case(origin)) {
            Access::WithCookie
        } else if self.any {
            Access::Bare
        } else {
            Access::None
        }
    }

    /// The response to a browser's preflight request, if the page may send what it is about to send. Otherwise nothing:
    /// the route refuses a preflight with its own 405.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.header(header::ACCESS_CONTROL_REQUEST_METHOD).is_some();
        if !asks || !concerns(request) || self.access(request.header(header::ORIGIN)?) == Access::None {
            return None;
        }
        Some(
            Response::no_content()
                .with(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS)
                .with(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS)
                .with(header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
        )
    }

    /// The headers by which a response tells the browser what the page may do.
    pub(crate) fn headers(&self, request: &Request) -> Vec<(HeaderName, HeaderValue)> {
        if self.are_closed() || !concerns(request) {
            return Vec::new();
        }
        // Also for requests without an origin: a cache must not give their response to a page of another site.
        let mut headers = vec![(header::VARY, HeaderValue::from_static("origin"))];
        let origin = request.header(header::ORIGIN);
        let access = origin.map_or(Access::None, |origin| self.access(origin));
        match (access, origin.map(HeaderValue::from_str)) {
            (Access::WithCookie, Some(Ok(origin))) => {
                headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
                headers.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, YES));
            }
            (Access::Bare, _) => headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY)),
            _ => return headers,
        }
        if request.method() != Method::OPTIONS {
            headers.push((header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS));
        }
        headers
    }
}

/// Other sites may call the API only, not read the pages.
fn concerns(request: &Request) -> bool {
    request.path().starts_with("/api/")
}

/// A page's origin: scheme, and host with its port unless it is the scheme's own.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host, and the port if it is not the scheme's own.
    pub authority: &'a str,
}

impl<'a> Origin<'a> {
    /// Reads the header `Origin`. `null` stands for a page without an origin, and is none.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
        let known = matches!(scheme, "http" | "https");
        (known && !authority.is_empty() && authority.bytes().all(is_plain))
            .then(|| Self { scheme, authority: without_default_port(scheme, authority) })
    }
}

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority.to_ascii_lowercase())
    }
}

/// The authority without the scheme's own port: proxies write that port, browsers don't.
pub(crate) fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_named_unless_set() {
        let closed: Origins = "".parse().unwrap();
        assert!(closed.are_closed());
        assert_eq!(closed.access("https://shop.example"), Access::None);
    }

    #[test]
    fn a_named_origin_is_itself_and_nothing_near_it() {
        let origins: Origins =
            "https://shop.example, http://localhost:5173 https://B.example:443".parse().unwrap();
        for named in ["https://shop.example", "http://localhost:5173", "https://b.example"] {
            assert!(origins.names(named), "{named}");
        }
        for other in [
            "http://shop.example",
            "https://shop.example:8443",
            "https://www.shop.example",
            "https://shop.example.evil.example",
            "https://evilshop.example",
            "http://localhost",
            "null",
            "",
            "*",
        ] {
            assert_eq!(origins.access(other), Access::None, "{other}");
        }
    }

    #[test]
    fn everybody_may_read_but_never_with_the_cookie() {
        let origins: Origins = "* https://shop.example".parse().unwrap();
        assert_eq!(origins.access("https://other.example"), Access::Bare);
        assert_eq!(origins.access("null"), Access::Bare);
        assert_eq!(origins.access("https://shop.example"), Access::WithCookie);
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in [
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/path",
            "ftp://shop.example",
            "https://user@shop.example",
            "https://*.shop.example",
            "null",
        ] {
            assert!(wrong.parse::<Origins>().is_err(), "{wrong}");
        }
    }
}
