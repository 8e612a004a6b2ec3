//! What limits mean for a request and its answer: whether callers are limited at all, and the headers that tell a caller
//! what is left (draft-ietf-httpapi-ratelimit-headers, `RateLimit-Policy` and `RateLimit`).

use std::fmt::Write;

use sale::allowance::{Allowance, CALLERS_SECONDS, Counted, MINUTE_SECONDS};

use crate::problem::Problem;
use crate::request::Request;
use crate::{address, settings};

/// A limit by its name in the headers, and the seconds in which its bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy(&'static str, u32);

/// What the lane's tries are limited by: shopper and address.
pub const TRIES: [Policy; 2] = [Policy("shopper", CALLERS_SECONDS), Policy("address", CALLERS_SECONDS)];
/// What polls are limited by.
pub const POLLS: [Policy; 1] = [Policy("polls", CALLERS_SECONDS)];
/// What sessions are limited by.
pub const SESSIONS: [Policy; 1] = [Policy("sessions", MINUTE_SECONDS)];

/// Whether callers are limited here, or by a gateway in front.
pub async fn are_on() -> Result<bool, Problem> {
    settings::switch("rate_limits").await
}

/// Where `request` comes from, as limits count it; nothing where callers are not limited.
pub async fn caller(request: &Request) -> Result<Option<String>, Problem> {
    Ok(if are_on().await? { Some(address::of(request).await?.to_string()) } else { None })
}

/// The outcome of a counted step; what is left under `policies` is noted for the answer's headers, whatever that becomes.
pub fn noted<T>(request: &Request, policies: &[Policy], counted: Counted<T>) -> T {
    request.note_limits(headers(policies, &counted.allowances));
    counted.outcome
}

/// `RateLimit-Policy` and `RateLimit`; nothing where nothing is limited.
fn headers(policies: &[Policy], allowances: &[Allowance]) -> Option<(String, String)> {
    let (mut policy, mut state) = (String::new(), String::new());
    for (Policy(name, seconds), allowance) in policies.iter().zip(allowances) {
        if allowance.capacity == 0 {
            continue;
        }
        let comma = if policy.is_empty() { "" } else { ", " };
        let next = allowance.next_ms(*seconds).div_ceil(1_000);
        // Text in memory takes all that is written.
        let _ = write!(policy, "{comma}\"{name}\";q={};w={seconds}", allowance.capacity);
        let _ = write!(state, "{comma}\"{name}\";r={};t={next}", allowance.left());
    }
    (!policy.is_empty()).then_some((policy, state))
}
