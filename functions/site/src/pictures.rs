//! Pictures of items, from the folder that spin.toml mounts. A shop adds its own without a build.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::time::SystemTime;

use web::http::etag;
use web::{Caching, HeaderValue, Problem, Request, Response, StatusCode, header};

/// Where spin.toml mounts them.
const FOLDER: &str = "/pictures";
/// The largest picture served, in bytes: thousands of shoppers load a page at once.
const LARGEST: u64 = 4 * 1024 * 1024;
/// How many pictures an instance keeps, and up to which size.
const MOST_KEPT: usize = 32;
const LARGEST_KEPT: u64 = 64 * 1024;

/// A picture as it was read. It is valid while the file keeps its size and time.
#[derive(Clone)]
struct Picture {
    length: u64,
    modified: Option<SystemTime>,
    etag: Rc<str>,
    bytes: Rc<[u8]>,
}

/// The picture of this name, or `not-found`.
pub fn serve(request: &Request, name: &str) -> Result<Response, Problem> {
    let not_found = || Problem::NotFound { what: "picture" };
    let media_type = media_type(name).ok_or_else(not_found)?;
    let picture = read(name).ok_or_else(not_found)?;
    Ok(Response::bytes(StatusCode::OK, HeaderValue::from_static(media_type), picture.bytes.to_vec())
        // A shop may replace a picture under its name, so browsers must ask again soon. The ETag makes that cheap.
        .caching(Caching::Public { seconds: 300 })
        // A browser that opens an SVG by itself treats it as a document. It may draw, and nothing else.
        .header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; sandbox",
        )
        .with_etag(&picture.etag, request.headers()))
}

/// The media type of a picture, by its name. The name must be one plain word, with no slash, no leading dot and nothing
/// encoded, so that it can't lead out of the folder.
fn media_type(name: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.len() > 100 || name.starts_with('.') || !name.bytes().all(plain) {
        return None;
    }
    match name.rsplit_once('.')?.1 {
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "avif" => Some("image/avif"),
        "gif" => Some("image/gif"),
        _ => None,
    }
}

fn read(name: &str) -> Option<Picture> {
    thread_local! {
        static KEPT: RefCell<HashMap<String, Picture>> = RefCell::new(HashMap::new());
    }
    let path = format!("{FOLDER}/{name}");
    let metadata =
        fs::metadata(&path).ok().filter(|metadata| metadata.is_file() && metadata.len() <= LARGEST)?;
    let (length, modified) = (metadata.len(), metadata.modified().ok());
    let kept = KEPT.with_borrow(|kept| kept.get(name).cloned());
    if let Some(picture) = kept.filter(|picture| picture.length == length && picture.modified == modified) {
        return Some(picture);
    }
    let bytes = fs::read(&path).ok()?;
    let picture = Picture { length, modified, etag: etag::of(&bytes).into(), bytes: bytes.into() };
    if length <= LARGEST_KEPT {
        KEPT.with_borrow_mut(|kept| {
            if kept.len() >= MOST_KEPT {
                kept.clear();
            }
            kept.insert(name.to_owned(), picture.clone());
        });
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::media_type;

    #[test]
    fn the_name_of_a_picture_is_one_plain_word() {
        assert_eq!(media_type("tea-set.svg"), Some("image/svg+xml"));
        assert_eq!(media_type("A_1.2.webp"), Some("image/webp"));
        for other in [
            "",
            ".svg",
            "..",
            "../x.svg",
            "a/b.svg",
            "a\\b.svg",
            "%2e%2e%2fx.svg",
            "x.svg\0",
            "x.html",
            "svg",
            ".hidden.png",
        ] {
            assert_eq!(media_type(other), None, "{other}");
        }
        assert_eq!(media_type(&format!("{}.png", "x".repeat(100))), None);
    }
}
