//! The simulated payment provider's side of a payment: what was chosen on its page, and whether the shop has been told.
//!
//! It stands for a company of its own. It knows what the shop told it when the payment was opened, and nothing of the
//! shopper; the shop learns from it by signed webhook alone.

use crate::ids::PaymentId;
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// What a person chooses on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Succeeded,
    Failed,
    /// It succeeds, but the shop hears of it only after the deadline.
    Late,
}

/// Where a payment stands with the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is chosen yet.
    Open,
    /// The shop is to be told.
    Due,
    /// The shop has been told.
    Delivered,
    /// The shop will not hear of it, and trying again would not change that.
    Refused,
    /// The shop could not be told for hours.
    GivenUp,
}

/// A payment as the provider knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderPayment {
    pub id: PaymentId,
    pub standing: Standing,
    pub amount: Money,
    pub pay_by: Timestamp,
    pub choice: Option<Choice>,
    /// The webhook's event, the same in every try; empty while nothing is chosen.
    pub event_id: String,
    /// Tries to tell the shop, one that is under way included.
    pub tries: u32,
    /// What the shop said last, in a word or two.
    pub answer: String,
}

/// What became of a try to tell the shop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It said yes, with this status.
    Delivered { status: u16 },
    /// It said no, for good: the status, and the problem's slug if it named one.
    Refused { status: u16, slug: String },
    /// It did not answer, or said to try later.
    Failed { status: Option<u16> },
}

impl Choice {
    pub const ALL: [Choice; 3] = [Choice::Succeeded, Choice::Failed, Choice::Late];

    /// The word for it, in scripts and in the page's form.
    pub fn as_str(self) -> &'static str {
        match self {
            Choice::Succeeded => "succeeded",
            Choice::Failed => "failed",
            Choice::Late => "late",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }

    /// The type of the webhook's event.
    pub fn event_type(self) -> &'static str {
        match self {
            Choice::Succeeded | Choice::Late => "payment.succeeded",
            Choice::Failed => "payment.failed",
        }
    }
}

impl Standing {
    pub const ALL: [Standing; 5] =
        [Standing::Open, Standing::Due, Standing::Delivered, Standing::Refused, Standing::GivenUp];

    /// The word for it, in scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Due => "due",
            Standing::Delivered => "delivered",
            Standing::Refused => "refused",
            Standing::GivenUp => "given_up",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }
}

impl ProviderPayment {
    /// Reads the record that the scripts keep: state|amount|currency|pay by|choice|event|tries|answer.
    pub(crate) fn read(id: PaymentId, record: &str) -> Option<Self> {
        let fields: Vec<&str> = record.split('|').collect();
        let [standing, amount, currency, pay_by, choice, event_id, tries, answer] = fields[..] else {
            return None;
        };
        Some(ProviderPayment {
            id,
            standing: Standing::parse(standing)?,
            amount: Money::new(amount.parse().ok()?, Currency::parse(currency).ok()?),
            pay_by: Timestamp::from_millis(pay_by.parse().ok()?),
            choice: if choice.is_empty() { None } else { Some(Choice::parse(choice)?) },
            event_id: event_id.to_owned(),
            tries: tries.parse().ok()?,
            answer: answer.to_owned(),
        })
    }
}

impl Delivery {
    /// The outcome of a webhook by the shop's answer: its status, if it answered, and its problem's slug.
    ///
    /// Only what no repetition can change is final: the shop says no to what it was told. That it is busy, wants the
    /// request sent again, or is out of order passes.
    pub fn of(status: Option<u16>, slug: &str) -> Self {
        match status {
            Some(status @ 200..=299) => Delivery::Delivered { status },
            Some(status @ (400..=407 | 409..=424 | 426..=428 | 430..=499)) => {
                let plain = |letter: &char| letter.is_ascii_lowercase() || *letter == '-';
                Delivery::Refused { status, slug: slug.chars().filter(plain).take(40).collect() }
            }
            status => Delivery::Failed { status },
        }
    }

    /// What `provider_report` is told: the outcome, and the shop's answer for the record.
    pub(crate) fn words(&self) -> (&'static str, String) {
        match self {
            Delivery::Delivered { status } => ("delivered", status.to_string()),
            Delivery::Refused { status, slug } => ("refused", format!("{status} {slug}").trim().to_owned()),
            Delivery::Failed { status: Some(status) } => ("failed", status.to_string()),
            Delivery::Failed { status: None } => ("failed", String::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_no_that_stays_a_no_is_final() {
        for (status, outcome) in [
            (Some(200), "delivered"),
            (Some(204), "delivered"),
            (Some(302), "failed"),
            (Some(400), "refused"),
            (Some(401), "refused"),
            (Some(404), "refused"),
            (Some(408), "failed"),
            (Some(409), "refused"),
            (Some(422), "refused"),
            (Some(425), "failed"),
            (Some(429), "failed"),
            (Some(500), "failed"),
            (Some(503), "failed"),
            (None, "failed"),
        ] {
            assert_eq!(Delivery::of(status, "not-found").words().0, outcome, "{status:?}");
        }
        let odd = Delivery::of(Some(422), "in|valid\n<b>");
        assert_eq!(odd.words().1, "422 invalidb");
    }
}
