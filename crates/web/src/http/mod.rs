//! Requests and responses, from the platform's streams to parsed values and back; refusals and logs.

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
