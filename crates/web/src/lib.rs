//! HTTP glue for Stampede's functions: everything between the platform and the domain.
//!
//! A function is a route and a decision. The code that several functions share is here, on four floors:
//!
//! - [`mod@http`]: requests and responses, strict JSON, refusals ([`Problem`]) and logs.
//! - [`caller`]: the shopper, operator, address and page that a request comes from; allowances.
//! - [`platform`]: Redis, the key-value store, settings, outbound HTTP, randomness and timeouts.
//! - [`shop`]: the catalogue as published, challenges, payments, and the views that several functions show.
//!
//! This crate knows no rule of a sale; the crate `sale` has those.

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
