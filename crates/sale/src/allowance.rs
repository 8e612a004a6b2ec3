//! Allowances: how often a caller may call. Each is a token bucket that Redis keeps; the scripts that run anyway check it.
//!
//! The capacity of a bucket is how many tokens it holds when it is full, and how many it gets in a period. Each caller has a
//! bucket in the lane that they call. A shopper's is named by the user id, an address's by its text: IPv6 by /64, and behind a
//! trusted proxy the client's own address. With several lanes an address has a bucket in each of them.

use crate::ids::UserId;
use sha1::{Digest, Sha1};

/// The period of a lane's allowances, and that of sessions and operator's tokens. In seconds.
pub const CALLERS_SECONDS: u32 = 10;
pub const MINUTE_SECONDS: u32 = 60;

/// Parts that a full bucket has; `prelude/callers.lua` counts in them.
const PARTS: f64 = 100_000.0;

/// What a caller may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Tokens of a full bucket; 0 if the caller may call without bound.
    pub capacity: u32,
    /// How far the bucket is from full, in parts.
    pub(crate) owed: u64,
}

impl Allowance {
    /// How many tokens are left, rounded down.
    pub fn left(&self) -> u32 {
        let left = (PARTS - self.owed as f64) * f64::from(self.capacity) / PARTS;
        (left + 1e-6).max(0.0) as u32
    }

    /// Milliseconds until there is one more token, for a bucket that fills in `period_seconds`; 0 if it is full.
    pub fn next_ms(&self, period_seconds: u32) -> u64 {
        if self.capacity == 0 || self.owed == 0 {
            return 0;
        }
        let parts = self.owed as f64 + f64::from(self.left() + 1) * PARTS / f64::from(self.capacity) - PARTS;
        (parts.max(0.0) * f64::from(period_seconds) * 1_000.0 / PARTS - 1e-6).ceil() as u64
    }
}

/// The outcome of a step that counts callers, and what the callers may still do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<T> {
    pub outcome: T,
    /// In the order that the step names; empty if callers are not counted.
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

/// Six characters of a digest. Redis keeps them in its smallest allocation, and has no address in clear. Of a million callers
/// at once, one in 70,000 shares a bucket with another, which costs them a retry at worst.
fn bucket(kind: &str, name: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digest = Sha1::new().chain_update(kind).chain_update(":").chain_update(name).finalize();
    digest.iter().take(6).map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_one_bucket_of_each_kind() {
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
