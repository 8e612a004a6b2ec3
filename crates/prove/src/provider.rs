//! The simulated provider's side, in the model: payments that are registered, chosen, and told to the shop until it hears.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::model::{Moment, Tail};
use crate::words;

const DAY: Moment = 86_400_000;
/// How long a payment is kept after nobody can pay it any more.
const KEPT: Moment = 3 * DAY;
/// How long one who delivers a webhook has for it.
const LEASE: Moment = 10_000;
/// How long after the deadline the shop hears of a payment that is chosen to be late.
const LATE: Moment = 1_000;
const MOST_TRIES: u32 = 40;

/// An order's payment: its tail and its attempt. They sort like the ids do.
pub type Id = (Tail, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Succeeded,
    Failed,
    Late,
}

/// What became of a try to tell the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Delivered,
    Refused,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    pub standing: &'static str,
    pub pay_by: Moment,
    pub choice: Option<Choice>,
    pub tries: u32,
}

#[derive(Debug, Clone, Default)]
pub struct Provider {
    pub payments: BTreeMap<Id, Payment>,
    /// When the shop is told next.
    pub due: BTreeMap<Id, Moment>,
    /// Until when each payment is kept.
    pub kept: BTreeMap<Id, Moment>,
}

impl Provider {
    pub fn register(&mut self, id: Id, pay_by: Moment, now: Moment) -> String {
        let mut over: Vec<_> =
            self.kept.iter().filter(|(_, until)| **until <= now).map(|(id, at)| (*at, *id)).collect();
        over.sort_unstable();
        for (_, id) in over.into_iter().take(20) {
            self.payments.remove(&id);
            self.kept.remove(&id);
        }
        if let Entry::Vacant(place) = self.payments.entry(id) {
            place.insert(Payment { standing: "open", pay_by, choice: None, tries: 0 });
            self.kept.insert(id, now + (pay_by - now).max(0) + KEPT);
        }
        "registered".to_owned()
    }

    pub fn choose(&mut self, id: Id, choice: Choice, now: Moment) -> String {
        let Some(payment) = self.payments.get_mut(&id) else { return "no such payment".to_owned() };
        if payment.standing != "open" {
            return format!("known: {}", words::provider_payment(payment));
        }
        payment.standing = "due";
        payment.choice = Some(choice);
        let at = if choice == Choice::Late { now.max(payment.pay_by + LATE) } else { now };
        self.due.insert(id, at);
        format!("chosen: {}", words::provider_payment(payment))
    }

    /// Hands a webhook that is due to one who delivers it: that of `wanted`, or the one that waits longest.
    pub fn claim(&mut self, wanted: Option<Id>, now: Moment) -> (String, Option<Id>) {
        let mut due: Vec<_> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(id, at)| (*at, *id)).collect();
        due.sort_unstable();
        let found = due.into_iter().map(|(_, id)| id).find(|id| wanted.is_none_or(|wanted| wanted == *id));
        let nothing = || ("nothing".to_owned(), None);
        let Some(id) = found else { return nothing() };
        let Some(payment) = self.payments.get_mut(&id).filter(|payment| payment.standing == "due") else {
            self.due.remove(&id);
            return nothing();
        };
        payment.tries += 1;
        self.due.insert(id, now + LEASE);
        (format!("claimed #{}-{}: {}", id.0, id.1, words::provider_payment(payment)), Some(id))
    }

    /// What became of try number `tries`.
    pub fn report(&mut self, id: Id, tries: u32, delivery: Delivery, now: Moment) -> String {
        let Some(payment) = self.payments.get_mut(&id) else { return "no such payment".to_owned() };
        // A delivery counts, whichever try made it.
        if payment.standing != "due" || (payment.tries != tries && delivery != Delivery::Delivered) {
            return words::provider_payment(payment);
        }
        payment.standing = match delivery {
            Delivery::Delivered => "delivered",
            Delivery::Refused => "refused",
            Delivery::Failed if payment.tries < MOST_TRIES => "due",
            Delivery::Failed => "given_up",
        };
        if payment.standing == "due" {
            let later = (1_000 << (payment.tries - 1).min(20)).min(300_000);
            self.due.insert(id, now + later);
        } else {
            self.due.remove(&id);
        }
        words::provider_payment(payment)
    }

    pub fn remind(&self, now: Moment) -> String {
        let is_due = self.due.values().min().is_some_and(|first| *first <= now);
        if is_due { "webhooks are due" } else { "nothing is due" }.to_owned()
    }
}
