//! HTTP glue for Stampede's functions: everything between the platform and the domain.
//!
//! A function is a route and a decision; what all of them share is here, once: ids and logs ([`serve()`]), bodies and
//! queries ([`Request`]), refusals ([`Problem`]), sessions and challenges, the platform's Redis and key-value store.
//! This crate knows no rule of a sale; those are in `sale`.

pub mod address;
pub mod answers;
pub mod blocklist;
mod body;
pub mod catalogue;
pub mod challenge;
pub mod cors;
pub mod deadline;
pub mod encoding;
pub mod etag;
pub mod headers;
pub mod json;
pub mod jwks;
pub mod jwt;
pub mod limits;
pub mod mark;
pub mod network;
pub mod operator;
pub mod outbound;
pub mod payment;
pub mod problem;
pub mod puzzles;
pub mod query;
pub mod random;
pub mod redis;
pub mod request;
pub mod response;
pub mod rules;
mod serve;
pub mod session;
pub mod settings;
pub mod trace;
pub mod worker;

pub use headers::Headers;
pub use problem::{FieldError, Problem};
pub use redis::SharedRedis;
pub use request::Request;
pub use response::{Caching, Response};
pub use serve::{serve, warn};

pub use http::{HeaderValue, Method, StatusCode, header};

#[doc(hidden)]
pub use spin_sdk::wasip3 as platform;
