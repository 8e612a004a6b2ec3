//! Amounts of money, in minor units, with their currency.

use serde::{Deserialize, Serialize};

/// An amount in minor units (cents, fen) of an ISO 4217 currency. Computed by the server only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Money {
    pub amount: i64,
    pub currency: Currency,
}

/// Three capital letters, as in ISO 4217. Which of them exist is not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// The text was not three capital letters.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a currency code of three capital letters")]
pub struct InvalidCurrency;

impl Money {
    /// The largest price: sums of a whole order still fit where scripts count, in 53 bits.
    pub const MAX_AMOUNT: i64 = 1_000_000_000_000;

    pub fn new(amount: i64, currency: Currency) -> Self {
        Money { amount, currency }
    }

    /// This price for `quantity` pieces.
    pub fn times(&self, quantity: u32) -> Money {
        Money { amount: self.amount.saturating_mul(i64::from(quantity)), currency: self.currency }
    }
}

impl Currency {
    pub fn parse(text: &str) -> Result<Self, InvalidCurrency> {
        match text.as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|letter| letter.is_ascii_uppercase()) => {
                Ok(Currency([*a, *b, *c]))
            }
            _ => Err(InvalidCurrency),
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidCurrency;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Currency::parse(&text)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.as_str().to_owned()
    }
}
