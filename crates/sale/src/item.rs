//! An item's settings, and its state at a moment.

use crate::money::{Currency, Money};
use crate::rules::VersionedRules;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// How reservations are decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Admitted to a queue at once, decided in order a moment later.
    #[default]
    Queued,
    /// Decided on the spot by the reserve script.
    Instant,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Queued => "queued",
            Mode::Instant => "instant",
        }
    }
}

/// The state of an item, as shoppers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// Not published. Operators only.
    Draft,
    Upcoming,
    Open,
    Paused,
    SoldOut,
    Ended,
}

/// What the operator has set a published item to. Time and stock decide the rest of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    Open,
    Paused,
    Closed,
}

impl Switch {
    pub fn as_str(self) -> &'static str {
        match self {
            Switch::Open => "open",
            Switch::Paused => "paused",
            Switch::Closed => "closed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "open" => Some(Switch::Open),
            "paused" => Some(Switch::Paused),
            "closed" => Some(Switch::Closed),
            _ => None,
        }
    }
}

impl ItemState {
    /// The state of a published item at `now`.
    pub fn at(
        now: Timestamp,
        switch: Switch,
        starts_at: Timestamp,
        ends_at: Timestamp,
        available: i64,
    ) -> Self {
        match switch {
            Switch::Closed => ItemState::Ended,
            _ if now >= ends_at => ItemState::Ended,
            Switch::Paused => ItemState::Paused,
            Switch::Open if now < starts_at => ItemState::Upcoming,
            Switch::Open if available <= 0 => ItemState::SoldOut,
            Switch::Open => ItemState::Open,
        }
    }
}

/// What the engine must know of a published item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub starts_at: Timestamp,
    pub ends_at: Timestamp,
    pub per_user_limit: u32,
    pub mode: Mode,
    /// The price of one piece.
    pub price: Money,
    /// How long a hold lasts, in milliseconds.
    pub hold_ms: i64,
    /// How long an order may stay unpaid, in milliseconds.
    pub pay_ms: i64,
    /// The rules that the lane's scripts go by.
    pub rules: VersionedRules,
    /// How long after the end the lane leaves Redis, once everything is settled, in milliseconds.
    pub retention_ms: i64,
}

/// What a lane offers: its stock and its terms. The order database keeps them, so that a lane that Redis loses can be rebuilt.
/// Names and units are those of the lane's own hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub switch: Switch,
    pub total: i64,
    pub starts_at: i64,
    pub ends_at: i64,
    /// Units that a shopper may buy.
    pub cap: u32,
    pub mode: Mode,
    pub price: i64,
    pub currency: Currency,
    pub hold_ms: i64,
    pub pay_ms: i64,
    pub queue_factor: u32,
    pub purge_at: i64,
    /// The rates of the rules, as the lane keeps them.
    pub rates: String,
}

/// Lanes that an item's stock is split over. Keys, ids and scripts allow any number. Stock does not move between lanes yet, so
/// there is one.
pub const LANES: u16 = 1;

/// The largest stock of an item, and the largest cap. In units.
pub const MAX_STOCK: i64 = 10_000_000;
pub const MAX_PER_USER: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stock_and_the_operator_make_the_state() {
        let at = |now, switch, available| {
            ItemState::at(
                Timestamp::from_millis(now),
                switch,
                Timestamp::from_millis(10),
                Timestamp::from_millis(20),
                available,
            )
        };
        assert_eq!(at(9, Switch::Open, 5), ItemState::Upcoming);
        assert_eq!(at(10, Switch::Open, 5), ItemState::Open);
        assert_eq!(at(10, Switch::Open, 0), ItemState::SoldOut);
        assert_eq!(at(9, Switch::Paused, 5), ItemState::Paused);
        assert_eq!(at(19, Switch::Paused, 0), ItemState::Paused);
        assert_eq!(at(20, Switch::Open, 5), ItemState::Ended);
        assert_eq!(at(20, Switch::Paused, 5), ItemState::Ended);
        assert_eq!(at(5, Switch::Closed, 5), ItemState::Ended);
    }
}
