//! HTTP glue for Stampede's functions: everything between the platform and the domain.
//!
//! A function is a route and a decision. Whatever several functions share is here, on four floors:
//!
//! - [`mod@http`]: requests, responses, refusals ([`Problem`]) and logs, from the first byte to the last.
//! - [`caller`]: who sends a request, and what they may still do.
//! - [`platform`]: Redis, the key-value store, settings, outbound HTTP, chance and time.
//! - [`shop`]: the published catalogue, challenges, payments and views that several functions show.
//!
//! This crate knows no rule of a sale; those are in `sale`.

pub mod caller;
pub mod http;
pub mod platform;
pub mod shop;

pub use crate::http::headers::Headers;
pub use crate::http::problem::{FieldError, Problem};
pub use crate::http::request::Request;
pub use crate::http::response::{Caching, Response};
pub use crate::http::serve::{serve, warn};
pub use crate::platform::redis::SharedRedis;

pub use ::http::{HeaderValue, Method, StatusCode, header};

#[doc(hidden)]
pub use spin_sdk::wasip3;
