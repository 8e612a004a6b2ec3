//! Allowances: each caller has a bucket of tokens, which fills steadily.
//!
//! A debt is what a bucket is short of being full, counted in time: with 4 tokens in ten seconds, a token is two and a
//! half seconds of debt, and a caller who owes more than seven and a half seconds has no token.

use std::collections::BTreeMap;

use crate::model::{Moment, Who};

/// The period of a lane's callers.
const PERIOD_MS: i64 = 10_000;
/// Debts are counted in tenths of a millisecond, the rest is forgiven.
const PARTS: i64 = PERIOD_MS * 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    Shopper(Who),
    Polls(Who),
    Address(u8),
}

/// What callers owe. It is remembered until the end of the period after the one in which it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Debts {
    /// By period: when each caller's bucket is full again.
    periods: BTreeMap<i64, BTreeMap<Caller, i64>>,
}

impl Debts {
    pub fn owed(&self, caller: Caller, now: Moment) -> i64 {
        let period = now / PERIOD_MS;
        let written = |period| self.periods.get(&period).and_then(|debts| debts.get(&caller));
        let full_at = written(period).or_else(|| written(period - 1)).copied().unwrap_or(0);
        (full_at - now * 10).max(0)
    }

    /// The caller pays `tokens`, or gets them back where that is negative. Says what they owe then.
    pub fn pay(&mut self, caller: Caller, capacity: u32, tokens: i64, now: Moment) -> i64 {
        let owed = self.owed(caller, now) + (tokens * PARTS).div_euclid(i64::from(capacity));
        let owed = owed.max(0);
        let period = now / PERIOD_MS;
        self.periods.retain(|known, _| *known + 1 >= period);
        let debts = self.periods.entry(period).or_default();
        debts.insert(caller, now * 10 + owed);
        owed
    }
}

/// In how many milliseconds a caller who owes so much has a token.
pub fn wait(capacity: u32, owed: i64) -> i64 {
    if capacity == 0 {
        return 0;
    }
    let tokens = i64::from(capacity);
    let missing = owed * tokens + PARTS - PARTS * tokens;
    if missing <= 0 { 0 } else { (missing + 10 * tokens - 1) / (10 * tokens) }
}

/// What a caller is told of their allowance: the capacity, tokens that are left, and when there is one more.
pub fn words(capacity: u32, owed: i64) -> String {
    let tokens = i64::from(capacity);
    let left = ((PARTS - owed) * tokens).div_euclid(PARTS).max(0);
    let next = if capacity == 0 || owed == 0 {
        0
    } else {
        let missing = owed * tokens + (left + 1) * PARTS - PARTS * tokens;
        (missing.max(0) + 10 * tokens - 1) / (10 * tokens)
    };
    format!("{left} of {capacity} left, one more in {next} ms")
}
