//! How callers are limited: token buckets, kept in Redis and checked inside the scripts that run anyway.
//!
//! A full bucket holds as many tokens as its limit, and gets as many in a period. Each caller has a bucket of their own,
//! in the lane that they call: a shopper by user id, an address (behind a trusted proxy the client's own; IPv6 by /64) by
//! its text. With several lanes an address has a bucket in each of them.

use crate::ids::UserId;
use sha1::{Digest, Sha1};

/// How long the limits of a lane's callers look back, in seconds; and those of sessions and operator's tokens.
pub const CALLERS_SECONDS: u32 = 10;
pub const MINUTE_SECONDS: u32 = 60;

/// Parts that a bucket is counted in: what `prelude_callers.lua` says of it.
const PARTS: f64 = 100_000.0;

/// What a caller may still do under one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Tokens of a full bucket; 0 where there is no limit.
    pub limit: u32,
    /// How far it is from full, in parts of the limit.
    pub(crate) owed: u64,
}

impl Allowance {
    /// Whole tokens that are left.
    pub fn left(&self) -> u32 {
        let left = (PARTS - self.owed as f64) * f64::from(self.limit) / PARTS;
        (left + 1e-6).max(0.0) as u32
    }

    /// In how many milliseconds there is one more, for a bucket that fills in `period_seconds`; 0 when it is full.
    pub fn next_ms(&self, period_seconds: u32) -> u64 {
        if self.limit == 0 || self.owed == 0 {
            return 0;
        }
        let parts = self.owed as f64 + f64::from(self.left() + 1) * PARTS / f64::from(self.limit) - PARTS;
        (parts.max(0.0) * f64::from(period_seconds) * 1_000.0 / PARTS - 1e-6).ceil() as u64
    }
}

/// What comes out of a limited step, and what the caller may still do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<T> {
    pub outcome: T,
    /// In the order of the step's limits; empty where callers are not limited.
    pub allowances: Vec<Allowance>,
}

/// The bucket of a shopper's tries.
pub fn shopper(user: &UserId) -> String {
    bucket("user", user.as_str())
}

/// The bucket of a shopper's polls.
pub fn polls(user: &UserId) -> String {
    bucket("poll", user.as_str())
}

/// The bucket of an address.
pub fn address(address: &str) -> String {
    bucket("address", address)
}

/// Six characters of a digest. Redis keeps them in its smallest allocation, and no address stands in Redis in clear. Of a
/// million callers at once one in 70,000 shares a bucket with another, which costs them a retry at worst.
fn bucket(kind: &str, name: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digest = Sha1::new().chain_update(kind).chain_update(":").chain_update(name).finalize();
    digest.iter().take(6).map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_caller_s_and_one_kind_s() {
        let ann: UserId = "ann".parse().unwrap();
        let names = [shopper(&ann), polls(&ann), address("ann"), shopper(&"bob".parse().unwrap())];
        for (at, name) in names.iter().enumerate() {
            assert_eq!(name.len(), 6);
            assert!(!names[..at].contains(name));
        }
        let many: std::collections::HashSet<_> = (0..20_000).map(|n| address(&n.to_string())).collect();
        assert!(many.len() > 19_990, "{}", many.len());
    }
}
