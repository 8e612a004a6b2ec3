//! A payment as the simulated provider knows it: the choice on its page, and whether the shop has the webhook.

use sale::ids::PaymentId;
use sale::money::{Currency, Money};
use sale::time::Timestamp;

/// What a person chooses on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Succeeded,
    Failed,
    /// It succeeds, but the shop gets the webhook only after the deadline.
    Late,
}

/// The state of a payment at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is chosen yet.
    Open,
    /// The webhook is due.
    Due,
    /// The shop has the webhook.
    Delivered,
    /// The shop refused the webhook for good.
    Refused,
    /// All tries failed, for hours.
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
    /// Tries to deliver the webhook, including one that is under way.
    pub tries: u32,
    /// The shop's last response, in a word or two.
    pub answer: String,
}

/// The outcome of a try to deliver a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The shop took it, with this status.
    Delivered { status: u16 },
    /// The shop refused it for good: the status, and the problem's slug if there is one.
    Refused { status: u16, slug: String },
    /// The shop did not respond, or a later try may succeed.
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
    /// Reads the record that the scripts keep: state|amount|currency|pay by|choice|event|tries|response.
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
    /// The outcome by the shop's response: its status, if there was one, and its problem's slug.
    ///
    /// Only a refusal that a repetition can't change is final. A shop that is busy, wants the request again, or is out of order
    /// may take it later.
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

    /// The outcome and the shop's response, as script `report` takes them.
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
    fn only_a_refusal_that_repetition_cannot_change_is_final() {
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
