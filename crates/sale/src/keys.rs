//! Every Redis key and channel of the shop. No other file spells one, and no script builds one. (The simulated provider, a
//! company of its own, has keys of its own.)
//!
//! A lane's keys share the hash tag `{item:lane}`, so that they live on one server and one script may touch them all.

use crate::ids::{Lane, UserId};

/// The channel on which a lane's queue asks to be drained; the message is the lane.
pub const GRANT_DOORBELL: &str = "stampede:grant";
/// The channel on which a lane's outbox asks to be copied; the message is the lane.
pub const LEDGER_DOORBELL: &str = "stampede:ledger";

/// The operators' truth of sales: a hash of sale id to document.
pub const SALES: &str = "{catalogue}:sales";
/// The operators' truth of items: a hash of item id to document.
pub const ITEMS: &str = "{catalogue}:items";
/// Sorted set: the ids of the sales that are not archived, by their start.
pub const SALES_BY_START: &str = "{catalogue}:sales_by_start";
/// Sorted set: the ids of the archived sales, by their start.
pub const ARCHIVED_SALES: &str = "{catalogue}:archived_sales";
/// Sorted set: `<sale>/<item>` of every item, so that the items of one sale stand together.
pub const ITEMS_BY_SALE: &str = "{catalogue}:items_by_sale";
/// Set: `<sale>/<item>` of every listed item, which is one that is published and not archived.
pub const LISTED_ITEMS: &str = "{catalogue}:listed_items";
/// A number that grows with every change of what is listed. Without it, the lists above have to be made from the documents.
pub const CATALOGUE_REVISION: &str = "{catalogue}:revision";
/// Set: markers of documents that may not have reached their lanes (see `publishing`).
pub const UNFINISHED: &str = "{catalogue}:unfinished";
/// The lanes that have keys, a set of `<item>:<lane>`: what a tick visits.
pub const LANES: &str = "{catalogue}:lanes";
/// Blocked users and addresses, for the operator: a hash of `user/<id>` or `address/<ip>` to when and why.
pub const BLOCKLIST: &str = "{catalogue}:blocklist";

/// List: the ids of the orders that a shopper made of late, newest first. The order database may not have them yet.
pub fn recent_orders(user: &UserId) -> String {
    format!("{{shopper:{user}}}:recent_orders")
}

/// The rules that operators set live: a hash of `shop` or an item's id to document.
pub const RULES: &str = "{catalogue}:rules";
/// Stream: every change that an operator made, the oldest trimmed.
pub const LOG: &str = "{catalogue}:log";
/// Hash: the first answers to operators' changes of the catalogue that came with an idempotency key.
pub const CATALOGUE_ANSWERS: &str = "{catalogue}:answers";
/// Sorted set: lane → the last of its changes that the log has. A purge leaves it, and the lanes that changed least lately leave.
pub const LOG_POSITIONS: &str = "{catalogue}:logged";

/// How long one set of used challenges serves, in milliseconds. Longer than a challenge lives.
pub const CHALLENGE_WINDOW_MS: i64 = 300_000;

/// The keys of one lane.
#[derive(Clone, Debug)]
pub struct LaneKeys {
    tag: String,
}

impl LaneKeys {
    pub fn of(lane: &Lane) -> Self {
        LaneKeys { tag: format!("{{{lane}}}") }
    }

    /// Hash: the lane's settings and counters.
    pub fn lane(&self) -> String {
        self.named("lane")
    }

    /// Hash: tail → reservation record.
    pub fn reservations(&self) -> String {
        self.named("reservations")
    }

    /// Hash: user → units not yet returned, and the reservation that is still alive.
    pub fn users(&self) -> String {
        self.named("users")
    }

    /// String: the filter of the shoppers who got units, in parts (see [`crate::holders`]).
    pub fn holders(&self) -> String {
        self.named("holders")
    }

    /// List: `seconds|tail` of reservations that ended, the oldest first. Their records go after ten minutes.
    pub fn ended(&self) -> String {
        self.named("ended")
    }

    /// List: tails of queued reservations in order of admission.
    pub fn queue(&self) -> String {
        self.named("queue")
    }

    /// Sorted set: tail → when its hold or its unpaid order lapses.
    pub fn deadlines(&self) -> String {
        self.named("deadlines")
    }

    /// Hash: tail → order record.
    pub fn orders(&self) -> String {
        self.named("orders")
    }

    /// Hash: tail → contact, address and note of an order, as JSON; empty once they are erased.
    pub fn details(&self) -> String {
        self.named("details")
    }

    /// Stream: events of orders that the order database does not have yet.
    pub fn outbox(&self) -> String {
        self.named("outbox")
    }

    /// Hash: the lane while it is rebuilt from the order database. Meanwhile there is no `lane`.
    pub fn rebuilding(&self) -> String {
        self.named("rebuilding")
    }

    /// Stream: events of before the rebuild that the order database does not have.
    pub fn untold(&self) -> String {
        self.named("untold")
    }

    /// The key whose lapse wakes the alarm function.
    pub fn alarm(&self) -> String {
        self.named("alarm")
    }

    /// Hash: the time series of what happened, for a day.
    pub fn series(&self) -> String {
        self.named("series")
    }

    /// List: changes by operators that the shop's log does not have yet.
    pub fn changes(&self) -> String {
        self.named("changes")
    }

    /// Hash: the first answers to operators' changes of the lane that came with an idempotency key.
    pub fn answers(&self) -> String {
        self.named("answers")
    }

    /// Set: challenges already used, of those that expire in one window.
    pub fn challenges(&self, expires_ms: i64) -> String {
        self.named(&format!("challenges:{}", expires_ms.div_euclid(CHALLENGE_WINDOW_MS)))
    }

    /// Two hashes that take turns every ten seconds: buckets of shoppers and addresses.
    pub fn callers(&self) -> [String; 2] {
        [self.named("callers:0"), self.named("callers:1")]
    }

    /// The keys that live as long as the lane, for the purge.
    pub fn lasting(&self) -> [String; 16] {
        [
            self.lane(),
            self.reservations(),
            self.users(),
            self.queue(),
            self.deadlines(),
            self.orders(),
            self.details(),
            self.outbox(),
            self.alarm(),
            self.series(),
            self.changes(),
            self.rebuilding(),
            self.untold(),
            self.answers(),
            self.holders(),
            self.ended(),
        ]
    }

    fn named(&self, name: &str) -> String {
        format!("{}:{name}", self.tag)
    }
}

/// The lane whose alarm key is `key`, if it is one.
pub fn lane_of_alarm(key: &str) -> Option<Lane> {
    key.strip_prefix('{')?.strip_suffix("}:alarm")?.parse().ok()
}

/// Two hashes that take turns every minute: sessions that addresses open.
pub const SESSIONS: [&str; 2] = ["{sessions}:0", "{sessions}:1"];
/// The same for wrong operator's tokens.
pub const OPERATOR_FAILURES: [&str; 2] = ["{operator}:0", "{operator}:1"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_lane_share_its_tag_and_the_alarm_leads_back() {
        let lane: Lane = "iabcdefghij:3".parse().unwrap();
        let keys = LaneKeys::of(&lane);
        for key in keys
            .lasting()
            .into_iter()
            .chain([keys.rebuilding(), keys.untold(), keys.challenges(1)])
            .chain(keys.callers())
        {
            assert!(key.starts_with("{iabcdefghij:3}:"), "{key}");
        }
        assert_eq!(lane_of_alarm(&keys.alarm()), Some(lane));
        for other in ["", "{x}:alarm", "{iabcdefghij:3}:lane", "{iabcdefghij:3}:alarm2", "session:abc"] {
            assert_eq!(lane_of_alarm(other), None, "{other}");
        }
    }
}
