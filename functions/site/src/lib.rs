//! Pages, assets and pictures for everybody, and the 404 for every path that no other function has.
//!
//! Routes `/`, `/items/{id}`, `/orders`, `/orders/{id}`, `/problems/{slug}`, `/assets/{hashed name}`,
//! `/pictures/{name}`, `/favicon.ico`, `/robots.txt`. No script runs. No page contains anything of a shopper, so any cache may
//! keep it. Problems: not-found, method-not-allowed.

mod pictures;

use std::cell::RefCell;

use sale::ids::{ItemId, OrderId};
use web::http::cors::Origin;
use web::http::encoding::{self, Encoding};
use web::http::etag;
use web::platform::settings;
use web::{HeaderValue, Method, Problem, Response, StatusCode, header};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// What pages may load. Scripts and styles come from here only, none inline; pictures also from a shop's own servers. No
/// site may frame a page. Where challenges may be a hosted widget, `widget` is the origin of its script and of its frame.
fn page_policy(widget: Option<&str>) -> String {
    let space = if widget.is_some() { " " } else { "" };
    let frames = widget.map(|origin| format!("frame-src {origin}; ")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'{space}{}; {frames}style-src 'self'; img-src 'self' data: https:; \
         connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        widget.unwrap_or_default()
    )
}

/// The policy that follows from the settings, made once in an instance's life.
async fn policy() -> Result<HeaderValue, Problem> {
    thread_local! {
        static POLICY: RefCell<Option<HeaderValue>> = const { RefCell::new(None) };
    }
    if let Some(policy) = POLICY.with_borrow(Clone::clone) {
        return Ok(policy);
    }
    // Even if the widget is not the usual challenge: an operator may choose it for an item.
    let script_url = match &*settings::text(settings::TURNSTILE_SITE_KEY).await? {
        "" => None,
        _ => Some(settings::text(settings::TURNSTILE_SCRIPT_URL).await?),
    };
    // A text that is no script's address gets no permission.
    let origin = script_url.as_deref().and_then(origin_of);
    let policy = HeaderValue::from_str(&page_policy(origin.as_deref()))
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"));
    POLICY.set(Some(policy.clone()));
    Ok(policy)
}

/// The origin of an address, if it has one that can stand in a policy.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    Origin::parse(&format!("{scheme}://{authority}")).map(|origin| origin.to_string())
}

/// An asset's name contains the hash of its bytes, so a cache may keep it for ever.
const ASSET_CACHING: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A page names its assets, so it must not outlive them for long. A cache may send it at once and revalidate afterwards.
const PAGE_CACHING: HeaderValue = HeaderValue::from_static("public, max-age=60, stale-while-revalidate=600");

const ROBOTS: &str = "User-agent: *\nDisallow: /api/\nDisallow: /orders\n";

/// A page or an asset, ready to be sent.
pub struct File {
    path: &'static str,
    media_type: &'static str,
    is_page: bool,
    /// Of the plain bytes, of gzip, of brotli.
    etags: [&'static str; 3],
    identity: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

web::service!("site", handle, settings: [LOG_REQUESTS, TRUST_PROXY, TURNSTILE_SITE_KEY, TURNSTILE_SCRIPT_URL]);

async fn handle(request: &mut web::Request) -> Result<Response, Problem> {
    let get = [Method::GET];
    let policy = policy().await?;
    let segments = request.segments();
    match segments[..] {
        [""] => found(request, &policy, "/", "index.html"),
        ["items", id] if id.parse::<ItemId>().is_ok() => found(request, &policy, "/items/:id", "item.html"),
        ["orders"] => found(request, &policy, "/orders", "orders.html"),
        ["orders", id] if id.parse::<OrderId>().is_ok() => {
            found(request, &policy, "/orders/:id", "order.html")
        }
        // A problem's `type` links here. All problems share one page, so a cache has it before it is needed.
        ["problems", slug] if PROBLEM_SLUGS.contains(&slug) => {
            found(request, &policy, "/problems/:slug", "problems.html")
        }
        ["assets", _] => found(request, &policy, "/assets/:name", &request.path()),
        ["pictures", name] => {
            request.on("/pictures/:name", &get)?;
            pictures::serve(request, name).or_else(|problem| lost(request, &policy, problem))
        }
        ["favicon.ico"] => {
            request.on("/favicon.ico", &get)?;
            let icon = FILES.iter().find(|file| file.path.starts_with("/assets/favicon-"));
            let icon = icon.ok_or(Problem::NotFound { what: "icon" })?;
            Ok(Response::empty(StatusCode::FOUND).header(header::LOCATION, icon.path))
        }
        ["robots.txt"] => {
            request.on("/robots.txt", &get)?;
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            Ok(Response::bytes(StatusCode::OK, text, ROBOTS).with(header::CACHE_CONTROL, PAGE_CACHING))
        }
        _ => lost(request, &policy, Problem::NotFound { what: "page" }),
    }
}

fn found(
    request: &web::Request,
    policy: &HeaderValue,
    route: &'static str,
    path: &str,
) -> Result<Response, Problem> {
    request.on(route, &[Method::GET])?;
    match find(path) {
        Some(file) => Ok(represent(request, policy, file, true)),
        None => lost(request, policy, Problem::NotFound { what: "page" }),
    }
}

/// The 404: a page for people, a problem for programs.
fn lost(request: &web::Request, policy: &HeaderValue, problem: Problem) -> Result<Response, Problem> {
    let wants_page = request.header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let is_api = request.segments().first() == Some(&"api");
    match find("404.html") {
        Some(file) if wants_page && !is_api => {
            let mut response = represent(request, policy, file, false);
            response.status = StatusCode::NOT_FOUND;
            // This is no version of the page that was asked for, and that page may soon exist.
            response.headers.retain(|(name, _)| !matches!(*name, header::ETAG | header::CACHE_CONTROL));
            Ok(response)
        }
        _ => Err(problem),
    }
}

fn find(path: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.path.cmp(path)).ok().and_then(|at| FILES.get(at))
}

/// The file in the client's encoding; with `conditional`, only if the client does not have it yet.
fn represent(
    request: &web::Request,
    policy: &HeaderValue,
    file: &'static File,
    conditional: bool,
) -> Response {
    let available: &[Encoding] = match (file.brotli, file.gzip) {
        (Some(_), Some(_)) => &[Encoding::Brotli, Encoding::Gzip],
        (Some(_), None) => &[Encoding::Brotli],
        (None, Some(_)) => &[Encoding::Gzip],
        (None, None) => &[],
    };
    let chosen = encoding::choose(request.header(header::ACCEPT_ENCODING), available);
    let [plain, gzip, brotli] = file.etags;
    let (tag, body) = match (chosen, file.gzip, file.brotli) {
        (Encoding::Brotli, _, Some(bytes)) => (brotli, bytes),
        (Encoding::Gzip, Some(bytes), _) => (gzip, bytes),
        _ => (plain, file.identity),
    };
    let is_known = conditional && etag::none_match(request.headers(), tag);
    let mut response = if is_known {
        Response::empty(StatusCode::NOT_MODIFIED)
    } else {
        let response = Response::bytes(StatusCode::OK, HeaderValue::from_static(file.media_type), body);
        match chosen.word() {
            Some(word) => response.with(header::CONTENT_ENCODING, HeaderValue::from_static(word)),
            None => response,
        }
    };
    response = response.with(header::ETAG, HeaderValue::from_static(tag));
    response = response.with(header::CACHE_CONTROL, if file.is_page { PAGE_CACHING } else { ASSET_CACHING });
    if !available.is_empty() {
        response = response.with(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if file.is_page {
        response = response
            .with(header::CONTENT_SECURITY_POLICY, policy.clone())
            .with(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
            .with(
                header::HeaderName::from_static("cross-origin-opener-policy"),
                HeaderValue::from_static("same-origin"),
            );
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_and_every_reference_leads_to_one() {
        assert!(FILES.is_sorted_by_key(|file| file.path));
        let mut references = 0;
        for file in FILES {
            let Ok(text) = std::str::from_utf8(file.identity) else { continue };
            for (start, _) in text.match_indices("/assets/") {
                let path: String = text[start..]
                    .chars()
                    .take_while(|character| character.is_ascii_alphanumeric() || "/._-".contains(*character))
                    .collect();
                assert!(find(&path).is_some(), "{} refers to {path}", file.path);
                references += 1;
            }
        }
        assert!(references > 20, "only {references} references were found");
    }

    #[test]
    fn a_page_may_load_the_widget_only_where_one_is_set() {
        let plain = page_policy(None);
        assert!(plain.contains("script-src 'self'; style-src"), "{plain}");
        assert!(!plain.contains("frame-src"), "{plain}");
        let widget = page_policy(Some("https://challenges.example"));
        assert!(
            widget.contains(
                "script-src 'self' https://challenges.example; frame-src https://challenges.example;"
            )
        );
        for policy in [plain, widget] {
            assert!(!policy.contains("unsafe") && policy.starts_with("default-src 'none'"), "{policy}");
        }
        assert_eq!(
            origin_of("https://a.example/api.js?render=explicit").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(origin_of("http://127.0.0.1:8080/x").as_deref(), Some("http://127.0.0.1:8080"));
        for wrong in ["", "/api.js", "https://a.example; script-src *", "javascript:alert(1)", "https:///x"] {
            assert_eq!(origin_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_load_of_a_page_fits_its_budget() {
        for page in ["index.html", "item.html"] {
            let page = find(page).unwrap();
            let text = std::str::from_utf8(page.identity).unwrap();
            let loaded: usize = FILES
                .iter()
                .filter(|file| file.path.starts_with("/assets/") && text.contains(file.path))
                .map(|file| file.brotli.unwrap_or(file.identity).len())
                .sum();
            let size = loaded + page.brotli.unwrap().len();
            assert!(size < 30 * 1024, "{} takes {size} bytes", page.path);
        }
    }

    #[test]
    fn every_problem_has_its_section() {
        let page = std::str::from_utf8(find("problems.html").unwrap().identity).unwrap();
        assert_eq!(PROBLEM_SLUGS.len(), 23);
        for slug in PROBLEM_SLUGS {
            assert!(page.contains(&format!("<section id=\"{slug}\">")), "{slug}");
        }
    }
}
