//! Allowances in requests and responses: whether they are counted here, and the headers that tell a caller what is
//! left.
//!
//! The headers are `RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers.

use std::fmt::Write;

use sale::allowance::{Allowance, CALLERS_SECONDS, Counted, MINUTE_SECONDS};

use crate::caller::address;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::platform::settings;

/// An allowance as the headers describe it: its name, and the seconds in which it is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy(&'static str, u32);

/// A try to reserve counts for the shopper and for the address.
pub const TRIES: [Policy; 2] = [Policy("shopper", CALLERS_SECONDS), Policy("address", CALLERS_SECONDS)];
/// A poll counts for the shopper.
pub const POLLS: [Policy; 1] = [Policy("polls", CALLERS_SECONDS)];
/// A new session counts for the address.
pub const SESSIONS: [Policy; 1] = [Policy("sessions", MINUTE_SECONDS)];

/// Whether allowances are counted here. A shop may leave that to a gateway in front.
pub async fn are_on() -> Result<bool, Problem> {
    settings::switch(settings::RATE_LIMITS).await
}

/// The caller of `request` as allowances count callers; nothing if allowances are not counted.
pub async fn caller(request: &Request) -> Result<Option<String>, Problem> {
    Ok(if are_on().await? { Some(address::of(request).await?.to_string()) } else { None })
}

/// The outcome of a counted step. Notes what is left under `policies` for the response's headers, whatever the outcome
/// is.
pub fn noted<T>(request: &Request, policies: &[Policy], counted: Counted<T>) -> T {
    request.note_allowances(headers(policies, &counted.allowances));
    counted.outcome
}

/// The values of `RateLimit-Policy` and `RateLimit`; nothing if no allowance is counted.
fn headers(policies: &[Policy], allowances: &[Allowance]) -> Option<(String, String)> {
    let (mut policy, mut state) = (String::new(), String::new());
    for (Policy(name, seconds), allowance) in policies.iter().zip(allowances) {
        if allowance.capacity == 0 {
            continue;
        }
        let comma = if policy.is_empty() { "" } else { ", " };
        let next = allowance.next_ms(*seconds).div_ceil(1_000);
        // Writing to a string can't fail.
        let _ = write!(policy, "{comma}\"{name}\";q={};w={seconds}", allowance.capacity);
        let _ = write!(state, "{comma}\"{name}\";r={};t={next}", allowance.left());
    }
    (!policy.is_empty()).then_some((policy, state))
}
