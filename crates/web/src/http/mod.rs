//! Requests and responses as every function has them: from the platform's streams to parsed values, and back.

pub(crate) mod body;
pub mod cors;
pub mod encoding;
pub mod etag;
pub mod headers;
pub mod json;
pub mod problem;
pub mod query;
pub mod request;
pub mod response;
pub(crate) mod serve;
pub mod trace;
