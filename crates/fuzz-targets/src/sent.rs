//! Input that a client sends: bodies, queries, ids, headers.

use std::str::FromStr;

use http::HeaderValue;
use sale::ids::{ItemId, Lane, OrderId, PaymentId, ReservationId, SaleId, Tail, UserId};
use sale::money::{Currency, Money};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::Problem;
use web::caller::address;
use web::caller::network::Network;
use web::http::cors::Origin;
use web::http::encoding::{self, Encoding};
use web::http::headers::Headers;
use web::http::{etag, json as strict, query, trace};

use crate::texts as parts;

/// A body with one field of every kind that the contract's bodies have.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    title: String,
    quantity: u32,
    stock: i64,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default)]
    price: Option<Money>,
    #[serde(default)]
    starts_at: Option<Timestamp>,
    #[serde(default)]
    user: Option<UserId>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    flag: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Queued,
    Instant,
}

pub fn json(bytes: &[u8]) {
    let outcome = strict::parse::<Body>(bytes);
    match &outcome {
        Ok(body) => {
            // Any text that we accept, another parser accepts too, and reads the same in it.
            let other: serde_json::Value = serde_json::from_slice(bytes).expect("another parser takes it");
            assert_eq!(other["title"], body.title.as_str());
            assert_eq!(other["quantity"], body.quantity);
            assert_eq!(other["stock"], body.stock);
            let again = serde_json::to_vec(body).unwrap();
            assert!(strict::parse::<Body>(&again).is_ok(), "{}", String::from_utf8_lossy(&again));
        }
        Err(problem) => assert_is_told(problem),
    }
    let _ = strict::parse::<serde_json::Value>(bytes);
}

/// A refusal is a complete document, and repeats no more of the input than a few words.
fn assert_is_told(problem: &Problem) {
    assert!(matches!(problem.status().as_u16(), 400..=499), "{problem:?}");
    let document = problem.document("id").to_string();
    assert!(document.len() < 4_000, "{document}");
}

pub fn queries(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match query::Query::parse(text) {
        Ok(query) => {
            if let Ok(page) = query.page() {
                assert!(page.number >= 1 && (1..=100).contains(&page.size));
                let all = [0; 250];
                assert!(page.slice(&all).len() <= page.size);
            }
            if let Ok(sought) = query.sought() {
                assert!(sought.chars().count() <= 200);
            }
            if let Err(problem) = query.only(&["page", "page_size", "q"]) {
                assert!(matches!(problem, Problem::Invalid { .. }));
            }
        }
        Err(problem) => assert_is_told(&problem),
    }
}

pub fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check_id::<SaleId>(text);
    check_id::<ItemId>(text);
    check_id::<UserId>(text);
    check_id::<ReservationId>(text);
    check_id::<OrderId>(text);
    check_id::<PaymentId>(text);
    check_id::<Lane>(text);
    if let Ok(tail) = text.parse::<Tail>() {
        assert_eq!(tail.as_str(), text);
    }
    if let Ok(order) = text.parse::<OrderId>() {
        assert_eq!(order.reservation().order(), order);
        assert!(text.parse::<ReservationId>().is_err(), "one text, two things");
    }
}

/// An id has one spelling, and nothing in it means anything to Redis, Lua, SQL or a header.
fn check_id<T: FromStr + ToString>(text: &str) {
    let Ok(id) = text.parse::<T>() else { return };
    assert_eq!(id.to_string(), text);
    assert!((1..=64).contains(&text.len()));
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte)), "{text:?}");
}

fn check_values(text: &str) {
    if let Ok(moment) = Timestamp::parse(text) {
        assert!((0..=Timestamp::MAX.millis()).contains(&moment.millis()));
        assert_eq!(Timestamp::parse(&moment.to_string()), Ok(moment));
    }
    if let Ok(network) = text.parse::<Network>() {
        assert_eq!(network.to_string().parse(), Ok(network));
    }
    if let Ok(currency) = Currency::parse(text) {
        assert_eq!(currency.as_str(), text);
    }
    let _ = strict::check_media_type(Some(text));
}

pub fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let with = |name: &str| Headers::new(vec![(name.to_owned(), value.as_bytes().to_vec())]);

    for name in ["x-request-id", "traceparent"] {
        let trace = trace::Trace::of(&with(name));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!((1..=64).contains(&trace.request_id.len()) && trace.request_id.bytes().all(plain));
        assert_eq!(trace.traceparent().len(), 55);
    }
    let matched = etag::none_match(&with("if-none-match"), "\"7\"");
    assert!(!matched || value.to_str().is_ok_and(|text| text.contains("\"7\"") || text.contains('*')));
    if let Ok(version) = etag::if_match(&with("if-match")) {
        assert_eq!(value.to_str().unwrap().trim(), etag::of_version(version));
    }
    let Ok(text) = value.to_str() else { return };
    let both = [Encoding::Brotli, Encoding::Gzip];
    for available in [&both[..], &both[..1], &both[1..], &[]] {
        let chosen = encoding::choose(Some(text), available);
        assert!(chosen == Encoding::Identity || available.contains(&chosen));
    }
    for trusted in [true, false] {
        for peer in [None, Some("198.51.100.1:4711"), Some(text)] {
            let Some(told) = address::client(trusted, Some(text), peer) else { continue };
            let counted = Network::of(told).to_string();
            assert_eq!(counted.parse::<Network>().map(|network| network.to_string()), Ok(counted.clone()));
        }
    }
    let peer = [198, 51, 100, 1].into();
    assert_eq!(address::client(false, Some(text), Some("198.51.100.1:4711")), Some(peer));
    if let Some(origin) = Origin::parse(text) {
        assert!(text.to_ascii_lowercase().contains(&origin.authority.to_ascii_lowercase()));
    }
}

pub fn texts(bytes: &[u8]) {
    if let Some([one, two]) = parts::<2>(bytes) {
        check_values(one);
        check_values(two);
    }
}
