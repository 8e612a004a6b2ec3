//! Pages, assets and pictures; and the 404 for every path that no other function has.
//!
//! Routes `/`, `/items/{id}`, `/orders`, `/orders/{id}`, `/problems/{slug}`, `/assets/{hashed name}`,
//! `/pictures/{name}`, `/favicon.ico`, `/robots.txt`; for all. No page has anything of a shopper in it, so anyone may
//! keep them. Problems: `not-found`, `method-not-allowed`.

mod encoding;
mod pictures;

use encoding::Encoding;
use sale::ids::{ItemId, OrderId};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use web::{HeaderValue, Method, Problem, Response, StatusCode, etag, header};

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// Scripts and styles from here only, none inline; pictures also from a shop's own servers; framed by nobody.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: https:; connect-src 'self'; \
     worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const PERMISSIONS_POLICY: HeaderValue =
    HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()");
/// A name with a hash in it means these bytes for ever.
const ASSET_CACHING: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// A page names its assets, so it must not outlive them for long. Meanwhile a cache may answer at once and look after.
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

#[http_service]
async fn handle(request: Request) -> impl IntoResponse {
    web::serve("site", request, answer).await
}

async fn answer(request: &mut web::Request) -> Result<Response, Problem> {
    let get = [Method::GET];
    let segments = request.segments();
    match segments[..] {
        [""] => found(request, "/", "index.html"),
        ["items", id] if id.parse::<ItemId>().is_ok() => found(request, "/items/:id", "item.html"),
        ["orders"] => found(request, "/orders", "orders.html"),
        ["orders", id] if id.parse::<OrderId>().is_ok() => found(request, "/orders/:id", "order.html"),
        // A problem's type leads here. There is one page for all, so that it is in a cache before it is needed.
        ["problems", slug] if PROBLEM_SLUGS.contains(&slug) => {
            found(request, "/problems/:slug", "problems.html")
        }
        ["assets", _] => found(request, "/assets/:name", request.path()),
        ["pictures", name] => {
            request.on("/pictures/:name", &get)?;
            pictures::serve(request, name).or_else(|problem| lost(request, problem))
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
        _ => lost(request, Problem::NotFound { what: "page" }),
    }
}

fn found(request: &web::Request, route: &'static str, path: &str) -> Result<Response, Problem> {
    request.on(route, &[Method::GET])?;
    match find(path) {
        Some(file) => Ok(represent(request, file, true)),
        None => lost(request, Problem::NotFound { what: "page" }),
    }
}

/// A page for people, a problem for programs.
fn lost(request: &web::Request, problem: Problem) -> Result<Response, Problem> {
    let wants_page = request.header(header::ACCEPT).is_some_and(|accept| accept.contains("text/html"));
    let is_api = request.segments().first() == Some(&"api");
    match find("404.html") {
        Some(file) if wants_page && !is_api => {
            let mut response = represent(request, file, false);
            response.status = StatusCode::NOT_FOUND;
            // It is no version of the page that was asked for, and soon perhaps there is one.
            response.headers.retain(|(name, _)| !matches!(*name, header::ETAG | header::CACHE_CONTROL));
            Ok(response)
        }
        _ => Err(problem),
    }
}

fn find(path: &str) -> Option<&'static File> {
    FILES.binary_search_by(|file| file.path.cmp(path)).ok().and_then(|at| FILES.get(at))
}

/// The file in the client's encoding; with `conditional`, only if the client does not have it.
fn represent(request: &web::Request, file: &'static File, conditional: bool) -> Response {
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
            .with(header::CONTENT_SECURITY_POLICY, PAGE_POLICY)
            .with(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"))
            .with(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
            .with(header::HeaderName::from_static("permissions-policy"), PERMISSIONS_POLICY)
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
        assert_eq!(PROBLEM_SLUGS.len(), 22);
        for slug in PROBLEM_SLUGS {
            assert!(page.contains(&format!("<section id=\"{slug}\">")), "{slug}");
        }
    }
}
