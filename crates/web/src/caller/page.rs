//! The page that a request comes from: a page of another site must not act with a shopper's cookie.

use http::{Method, header};

use crate::http::cors::{Origin, Origins, without_default_port};
use crate::http::headers::last_entry;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::platform::settings;

/// Refuses a change that a page of another site asks for, unless the setting `cors_origins` names that site.
///
/// Reading is harmless: the browser does not show the response to another site. A request that names no page passes: it
/// comes from a program, and brings no cookie.
pub async fn require_own(request: &Request) -> Result<(), Problem> {
    check_page(request, Unnamed::Allowed).await
}

/// The same for a request that brings the session cookie; one that names no page is refused as well. Every browser
/// names the page in a request that changes something, and a program sends a bearer token instead of a cookie.
pub async fn require_own_for_cookie(request: &Request) -> Result<(), Problem> {
    check_page(request, Unnamed::Refused).await
}

/// What becomes of a request that names no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    Allowed,
    Refused,
}

async fn check_page(request: &Request, unnamed: Unnamed) -> Result<(), Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let (origin, site) = (request.header(header::ORIGIN), request.header("sec-fetch-site"));
    // An `Origin` that is not text counts as a page, and it is none of ours.
    let is_unnamed = request.headers().get(header::ORIGIN.as_str()).is_none() && site.is_none();
    let fits = if is_unnamed {
        unnamed == Unnamed::Allowed
    } else if let Some(origin) = origin
        && Origins::shared().await?.names(origin)
    {
        true
    } else {
        let forwarded = match settings::switch_or(settings::TRUST_PROXY, false).await? {
            true => last_entry(request.last_header("x-forwarded-host")),
            false => None,
        };
        let host = forwarded.or_else(|| request.authority());
        is_own_page(origin, site, host, is_behind_tls(request).await?)
    };
    if fits { Ok(()) } else { Err(Problem::Unauthorized { detail: "A page of another site can't do this" }) }
}

/// Whether the headers name a page of this shop. With `behind_tls` the shop is known to be under https, so a page under
/// http is not ours.
fn is_own_page(origin: Option<&str>, fetch_site: Option<&str>, host: Option<&str>, behind_tls: bool) -> bool {
    let site_fits = fetch_site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin_fits = origin.is_none_or(|origin| {
        Origin::parse(origin).zip(host).is_some_and(|(origin, host)| {
            (origin.scheme == "https" || !behind_tls)
                && without_default_port(origin.scheme, host).eq_ignore_ascii_case(origin.authority)
        })
    });
    site_fits && origin_fits
}

/// Whether the shopper's browser uses TLS, to us or to a trusted proxy in front of us.
pub async fn is_behind_tls(request: &Request) -> Result<bool, Problem> {
    let by_proxy = settings::switch_or(settings::TRUST_PROXY, false).await?
        && last_entry(request.last_header("x-forwarded-proto"))
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    Ok(by_proxy || request.header("spin-full-url").is_some_and(|url| url.starts_with("https://")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_our_own_may_use_the_cookie() {
        let host = Some("shop.example:8443");
        for (origin, site) in [
            (None, None),
            (Some("https://shop.example:8443"), Some("same-origin")),
            (Some("http://SHOP.example:8443"), None),
            (None, Some("none")),
        ] {
            assert!(is_own_page(origin, site, host, false), "{origin:?} {site:?}");
        }
        for (origin, site) in [
            (Some("https://evil.example"), None),
            (Some("https://shop.example"), None),
            (Some("https://shop.example:443"), None),
            (Some("https://www.shop.example:8443"), None),
            (Some("https://shop.example:8443.evil.example"), None),
            (Some("null"), None),
            (Some(""), None),
            (Some("file://shop.example:8443"), None),
            (None, Some("cross-site")),
            (None, Some("same-site")),
            (Some("https://shop.example:8443"), Some("cross-site")),
        ] {
            assert!(!is_own_page(origin, site, host, false), "{origin:?} {site:?}");
        }
        assert!(!is_own_page(Some("https://shop.example"), None, None, false));
    }

    #[test]
    fn a_default_port_is_the_same_place_and_http_is_not_https() {
        for host in ["shop.example", "shop.example:443"] {
            assert!(is_own_page(Some("https://shop.example"), None, Some(host), true), "{host}");
        }
        assert!(!is_own_page(Some("https://shop.example"), None, Some("shop.example:80"), true));
        // Anybody on the way to the shopper can write a page under http.
        assert!(!is_own_page(Some("http://shop.example"), None, Some("shop.example"), true));
        assert!(is_own_page(Some("http://shop.example"), None, Some("shop.example"), false));
    }
}
