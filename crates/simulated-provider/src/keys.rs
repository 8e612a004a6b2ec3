//! The Redis keys of the simulated provider. They share a hash tag, so that one script may touch them all.

/// The payments: a hash of payment id to record.
pub const PAYMENTS: &str = "{provider}:payments";
/// The moment until which each payment is kept: a sorted set.
pub const KEPT: &str = "{provider}:kept";
/// Webhooks that are due: a sorted set of payment id to the moment of the next try.
pub const DUE: &str = "{provider}:due";
/// The key whose lapse wakes `reminder`.
pub const ALARM: &str = "{provider}:alarm";
