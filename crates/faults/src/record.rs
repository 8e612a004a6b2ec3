//! What each shopper saw: every response, and the moments between which the shop made it.

use std::time::Instant;

use serde_json::Value;

/// One shopper's own log.
pub struct Record {
    pub shopper: usize,
    pub user: String,
    pub seen: Vec<Seen>,
    /// Successes that the shop took from the provider with a 200.
    pub money: Vec<Money>,
    /// Responses that the contract does not allow, in words.
    pub violations: Vec<String>,
}

/// A response.
pub struct Seen {
    pub call: Call,
    pub asked: Instant,
    pub answered: Instant,
    pub status: u16,
    pub body: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Reserve,
    Poll,
    GiveBack,
    Checkout,
    LookAtOrder,
    Pay,
    Webhook,
    Cancel,
}

/// A payment that the provider says succeeded.
#[derive(Clone, Debug)]
pub struct Money {
    pub payment: String,
    pub amount: i64,
}

impl Record {
    pub fn of(shopper: usize, user: &str) -> Record {
        Record { shopper, user: user.to_owned(), seen: Vec::new(), money: Vec::new(), violations: Vec::new() }
    }

    /// The reservations and orders that the shop told this shopper of, in the order of telling.
    pub fn states(&self) -> impl Iterator<Item = (&Seen, &str, &str)> {
        self.seen
            .iter()
            .filter_map(|seen| Some((seen, seen.body["id"].as_str()?, seen.body["state"].as_str()?)))
    }
}
