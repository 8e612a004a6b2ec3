//! What a lane must be after Redis lost it and it was rebuilt from the order database.
//!
//! It has every order of the database, its stock and terms. Of reservations without an order it has those that Redis still
//! has, and that units are left for. What the lane told after it had forgotten is done again by the ordinary steps.

use sale::item::Switch;
use sale::order::OrderState;
use sale::reservation::ReservationState;
use std::collections::BTreeMap;

use crate::model::{About, Event, Lane, Model, Moment, Order, Payment, Reservation, Rules, Tail, Terms};

/// What the order database says a lane offers.
#[derive(Debug, Clone, PartialEq)]
struct Offer {
    switch: Switch,
    total: i64,
    terms: Terms,
    purge_at: Moment,
    rules: Rules,
}

fn last_offer(events: &[Event]) -> Option<Offer> {
    events.iter().rev().find_map(offer_of)
}

fn offer_of(event: &Event) -> Option<Offer> {
    match &event.about {
        About::Lane { switch, total, terms, purge_at, rules } => Some(Offer {
            switch: *switch,
            total: *total,
            terms: terms.clone(),
            purge_at: *purge_at,
            rules: *rules,
        }),
        _ => None,
    }
}

impl Offer {
    /// Takes over what differs between `before` and `after`: that is what the operator decided.
    fn decide(&mut self, before: &Offer, after: &Offer) {
        fn take<T: PartialEq + Clone>(into: &mut T, before: &T, after: &T) {
            if before != after {
                *into = after.clone();
            }
        }
        // Whether the rules pause a lane is decided with its switch.
        if before.switch != after.switch {
            self.rules.paused = after.rules.paused;
        }
        take(&mut self.rules.paused, &before.rules.paused, &after.rules.paused);
        take(&mut self.switch, &before.switch, &after.switch);
        take(&mut self.total, &before.total, &after.total);
        take(&mut self.purge_at, &before.purge_at, &after.purge_at);
        take(&mut self.rules.queue_factor, &before.rules.queue_factor, &after.rules.queue_factor);
        // The rates are one field.
        let rates = |rules: &Rules| Rules { queue_factor: 0, paused: false, ..*rules };
        if rates(&before.rules) != rates(&after.rules) {
            self.rules =
                Rules { queue_factor: self.rules.queue_factor, paused: self.rules.paused, ..after.rules };
        }
        let (terms, before, after) = (&mut self.terms, &before.terms, &after.terms);
        take(&mut terms.starts_at, &before.starts_at, &after.starts_at);
        take(&mut terms.ends_at, &before.ends_at, &after.ends_at);
        take(&mut terms.cap, &before.cap, &after.cap);
        take(&mut terms.instant, &before.instant, &after.instant);
        take(&mut terms.price, &before.price, &after.price);
        take(&mut terms.hold_ms, &before.hold_ms, &after.hold_ms);
        take(&mut terms.pay_ms, &before.pay_ms, &after.pay_ms);
    }
}

impl Model {
    fn offer(&self) -> Option<Offer> {
        last_offer(&self.written)
    }

    /// The orders of the order database.
    pub fn recorded(&self) -> BTreeMap<Tail, Order> {
        let mut orders = BTreeMap::<Tail, Order>::new();
        for event in &self.written {
            if let About::Order { tail, order, .. } = &event.about {
                let mut order = order.clone();
                // Until money came, the payment that counts is the latest.
                if order.payment != Some(Payment::Succeeded) {
                    order.attempt = order.attempts;
                }
                // What the shopper wrote counts as it was when the order was first written.
                if let Some(known) = orders.get(tail) {
                    order.words = known.words;
                }
                if self.erased.contains(tail) {
                    order.words = None;
                }
                orders.insert(*tail, order);
            }
        }
        orders
    }

    /// Whether the lane has to be rebuilt.
    pub fn is_behind(&self, contradicts: bool) -> bool {
        let Some(offer) = self.offer() else { return false };
        match &self.kept.lane {
            Some(lane) => lane.seq < self.written.len() as i64 || contradicts,
            None => {
                let open = self.recorded().values().any(|order| {
                    matches!(order.state, OrderState::Unpaid | OrderState::RefundDue)
                        || order.surplus.values().any(|returned| !returned)
                });
                offer.purge_at > self.now || open
            }
        }
    }

    /// The lane goes back into the sale. Says whether untold events were left then, for the ordinary steps to repeat.
    pub fn rebuild(&mut self) -> bool {
        let Some(mut offer) = self.offer() else { return false };
        self.rebuilding = false;
        let stream = std::mem::take(&mut self.kept.outbox);
        let is_untold = |event: &&Event| {
            usize::try_from(event.seq - 1).ok().and_then(|at| self.written.get(at)) != Some(*event)
        };
        let untold: Vec<Event> = stream.iter().filter(is_untold).cloned().collect();
        let decided = self.put_decisions_back(&mut offer, &stream, &untold);
        let old = self.kept.lane.take();
        let versions = old.as_ref().map_or((0, 0), |lane| (lane.rules.shop_version, lane.rules.item_version));
        self.kept.lane = Some(Lane {
            terms: offer.terms,
            purge_at: offer.purge_at,
            rules: Rules { shop_version: versions.0, item_version: versions.1, ..offer.rules },
            version: old.as_ref().and_then(|lane| lane.version),
            has_versions: old.as_ref().is_some_and(|lane| lane.has_versions),
            switch: offer.switch,
            paused_by_rules: offer.rules.paused && offer.switch == Switch::Paused,
            total: offer.total,
            admitted: old.as_ref().map_or(0, |lane| lane.admitted),
            drained: old.as_ref().map_or(0, |lane| lane.drained),
            seq: self.written.len() as i64,
            waiting_since: None,
            outbox_since: None,
            units_until: old.as_ref().and_then(|lane| lane.units_until),
            last_change: old.as_ref().and_then(|lane| lane.last_change),
        });

        // The filter begins again; shoppers with units are noted again.
        self.kept.holders.clear();
        // What Redis still has, put by; it comes back as far as there are units for it.
        let had = std::mem::take(&mut self.kept.reservations);
        for (tail, order) in self.recorded() {
            self.seat_order(tail, order);
        }
        if untold.iter().any(|event| event.about == About::Documents) {
            self.tell("lane.described", self.now, About::Documents);
        }
        if decided {
            // The stock is never below what is taken, of which the older copy may not have known.
            let taken = self.ordered() + self.sold();
            if let Some(lane) = self.kept.lane.as_mut() {
                lane.total = lane.total.max(taken);
            }
            self.tell_of_lane();
        }
        let recorded = self.recorded();
        self.tell_untold_orders(&had, &untold);
        self.seat_the_rest(had);
        // What the ordinary steps repeat is left until the lane is back.
        let is_left = |event: &&Event| match &event.about {
            About::Order { tail, .. } => event.kind != "order.created" || recorded.contains_key(tail),
            _ => false,
        };
        let repeats = untold.iter().any(|event| is_left(&event));

        self.signals = Default::default();
        let (now, waits, tells) =
            (self.now, !self.kept.queue.is_empty(), !self.kept.outbox.is_empty() || repeats);
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.waiting_since = waits.then_some(now);
            lane.outbox_since = tells.then_some(now);
        }
        self.signals.armed = true;
        self.signals.armed_for = self.next_moment();
        for event in &untold {
            self.redo(event);
        }
        repeats
    }

    /// What operators decided and only Redis knows of holds on: of each untold change, what it changed. Says whether
    /// anything was decided.
    fn put_decisions_back(&self, offer: &mut Offer, stream: &[Event], untold: &[Event]) -> bool {
        let Some(first) = untold.first() else { return false };
        let written_before = usize::try_from(first.seq - 1).unwrap_or(0).min(self.written.len());
        let mut before = last_offer(&self.written[..written_before]);
        let was_closed = offer.switch == Switch::Closed;
        let mut decided = false;
        for event in stream {
            let Some(after) = offer_of(event) else { continue };
            if let Some(before) = before.filter(|_| untold.contains(event)) {
                decided |= before != after;
                offer.decide(&before, &after);
            }
            before = Some(after);
        }
        if was_closed {
            offer.switch = Switch::Closed;
        }
        decided
    }

    fn seat_order(&mut self, tail: Tail, order: Order) {
        if matches!(order.state, OrderState::Unpaid | OrderState::Paid) {
            self.kept.holders.insert(order.who);
        }
        let reservation = Reservation {
            who: order.who,
            quantity: order.quantity,
            state: ReservationState::Ordered,
            number: 0,
            deadline: 0,
            unit_price: 0,
            order: Some(order),
        };
        self.kept.reservations.insert(tail, reservation);
    }

    fn fits(&self, reservation: &Reservation) -> bool {
        let cap = self.kept.lane.as_ref().map_or(0, |lane| i64::from(lane.terms.cap));
        self.alive(reservation.who).is_none()
            && self.counted(reservation.who) + i64::from(reservation.quantity) <= cap
    }

    /// Orders that only Redis knew of: made again if their units are free, and otherwise cancelled.
    fn tell_untold_orders(&mut self, had: &BTreeMap<Tail, Reservation>, untold: &[Event]) {
        for event in untold.iter().filter(|event| event.kind == "order.created") {
            let About::Order { tail, order, .. } = &event.about else { continue };
            let Some(had) = had.get(tail).filter(|_| !self.kept.reservations.contains_key(tail)) else {
                continue;
            };
            let words = had.order.as_ref().and_then(|order| order.words);
            let order = Order { words, ..order.clone() };
            let wanted = Reservation {
                who: order.who,
                quantity: order.quantity,
                state: ReservationState::Ordered,
                number: 0,
                deadline: 0,
                unit_price: 0,
                order: None,
            };
            let fits = self.fits(&wanted) && self.available() >= i64::from(order.quantity);
            // It was made when it was made.
            let about = About::Order { tail: *tail, order: order.clone(), attempt: 0 };
            self.tell("order.created", order.created, about);
            if fits {
                self.seat_order(*tail, order);
            } else {
                let order = Order { state: OrderState::Cancelled, ..order };
                self.seat_order(*tail, order.clone());
                let about = About::Order { tail: *tail, order, attempt: 0 };
                self.tell("order.cancelled", self.now, about);
            }
        }
    }

    /// Holds by their deadlines, then places in the queue in order, then all that is over.
    fn seat_the_rest(&mut self, had: BTreeMap<Tail, Reservation>) {
        let mut holds: Vec<_> = had
            .iter()
            .filter(|(_, r)| r.state == ReservationState::Held)
            .map(|(tail, r)| (r.deadline, *tail))
            .collect();
        holds.sort_unstable();
        let places: Vec<Tail> = self.kept.queue.iter().copied().collect();
        let mut rest = had;
        for (_, tail) in holds {
            let Some(mut r) = rest.remove(&tail) else { continue };
            if self.kept.reservations.contains_key(&tail) {
                continue;
            }
            if !(self.fits(&r) && self.available() >= i64::from(r.quantity)) {
                r.state = ReservationState::Expired;
                self.note_ended(tail);
            } else {
                self.kept.holders.insert(r.who);
            }
            self.kept.reservations.insert(tail, r);
        }
        for tail in places {
            if self.kept.reservations.contains_key(&tail) {
                continue;
            }
            let Some(mut r) = rest.remove(&tail) else { continue };
            if r.state == ReservationState::Queued && !self.fits(&r) {
                r.state = ReservationState::Rejected;
                self.note_ended(tail);
            }
            self.kept.reservations.insert(tail, r);
        }
        for (tail, r) in rest {
            self.kept.reservations.entry(tail).or_insert(r);
        }
    }

    fn redo(&mut self, event: &Event) {
        let About::Order { tail, order, attempt, .. } = &event.about else { return };
        let amount = order.unit_price * i64::from(order.quantity);
        match event.kind {
            "order.cancelled" => drop(self.cancel(*tail, order.who)),
            "payment.created" => drop(self.pay(*tail, order.who, true, *attempt)),
            "payment.failed" => drop(self.settle(*tail, *attempt, false, amount)),
            "order.paid" | "order.refund_due" | "payment.refund_due" => {
                drop(self.settle(*tail, *attempt, true, amount));
            }
            "order.refunded" | "payment.refunded" => drop(self.refund(*tail, *attempt)),
            _ => {}
        }
    }
}
