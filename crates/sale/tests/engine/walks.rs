//! Random operations at random times against a simple model in memory: replies, counters, caps and events agree.
//!
//! The model knows nothing of records, lists and scores. It keeps every reservation that ever was, and counts.

use crate::shop::{HOLD_MS, NOW, PAY_MS, RETENTION_MS, assert_sound, terms, user};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use sale::Engine;
use sale::ids::{Lane, OrderId, PaymentId, ReservationId, Tail};
use sale::item::{Mode, Switch, Terms};
use sale::money::Money;
use sale::order::{OrderEvent, OrderState};
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{
    Cancelled, ChallengeUse, CheckedOut, Contact, Granted, Lapsed, OrderView, Overdue, PaymentOpened,
    PaymentOutcome, PaymentState, Polled, Published, Refunded, Released, ReservationView, Reserved, Settled,
    StockChange, Stocked, Surplus, Switched, Wish,
};
use sale::time::Timestamp;
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use testkit::{AppendOnly, Connection, RedisServer};

const USERS: [&str; 5] = ["ann", "bob", "cat@example.org", "u-22222222222222222222", "a:b_c.d-e"];
const ENDS: i64 = NOW + 6_000_000;

#[derive(Debug, Clone)]
enum Step {
    Reserve { user: usize, quantity: u32, challenge: Option<(u8, bool)> },
    Grant { most: u32 },
    Poll { which: Index, own: bool },
    Release { which: Index, own: bool },
    Checkout { which: Index, own: bool, words: String },
    Pay { which: Index, own: bool },
    Settle { which: Index, attempt: u32, succeeded: bool, off_by: i64 },
    Cancel { which: Index, own: bool },
    Refund { which: Index },
    RefundPayment { which: Index, attempt: u32 },
    Lapse { most: u32 },
    Stock(i64, bool),
    Switch(Switch),
    Revise { limit: u32, instant: bool, price: i64, factor: u32 },
    Wait(i64),
    Copy { most: u32, taken: Index },
    FlushScripts,
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<Index>;
    let own = || proptest::bool::weighted(0.9);
    let words = proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter);
    prop_oneof![
        20 => (0..USERS.len(), 1..4u32, proptest::option::of((0..40u8, own())))
            .prop_map(|(user, quantity, challenge)| Step::Reserve { user, quantity, challenge }),
        10 => (1..5u32).prop_map(|most| Step::Grant { most }),
        4 => (which(), own()).prop_map(|(which, own)| Step::Poll { which, own }),
        5 => (which(), own()).prop_map(|(which, own)| Step::Release { which, own }),
        12 => (which(), own(), words).prop_map(|(which, own, words)| Step::Checkout { which, own, words }),
        9 => (which(), own()).prop_map(|(which, own)| Step::Pay { which, own }),
        9 => (which(), 0..4u32, any::<bool>(), prop_oneof![9 => Just(0), 1 => -1..2i64])
            .prop_map(|(which, attempt, succeeded, off_by)| Step::Settle { which, attempt, succeeded, off_by }),
        4 => (which(), own()).prop_map(|(which, own)| Step::Cancel { which, own }),
        2 => which().prop_map(|which| Step::Refund { which }),
        1 => (which(), 1..4u32).prop_map(|(which, attempt)| Step::RefundPayment { which, attempt }),
        6 => (1..4u32).prop_map(|most| Step::Lapse { most }),
        3 => (-3..6i64, any::<bool>()).prop_map(|(units, add)| Step::Stock(units, add)),
        2 => prop_oneof![6 => Just(Switch::Open), 3 => Just(Switch::Paused), 1 => Just(Switch::Closed)]
            .prop_map(Step::Switch),
        2 => (1..6u32, any::<bool>(), 0..20_000i64, 1..4u32)
            .prop_map(|(limit, instant, price, factor)| Step::Revise { limit, instant, price, factor }),
        8 => prop_oneof![6 => 0..1_000i64, 2 => HOLD_MS / 2..HOLD_MS + 2, 1 => PAY_MS / 2..PAY_MS + 2]
            .prop_map(Step::Wait),
        4 => (1..6u32, which()).prop_map(|(most, taken)| Step::Copy { most, taken }),
        1 => Just(Step::FlushScripts),
    ]
}

#[derive(Debug)]
struct Order {
    state: OrderState,
    unit: i64,
    created: i64,
    pay_by: i64,
    paid_at: i64,
    attempt: u32,
    attempts: u32,
    payment: Option<PaymentState>,
    /// Attempts that brought money beside the one that counts, and whether it went back.
    surplus: Vec<(u32, bool)>,
}

#[derive(Debug)]
struct Reservation {
    tail: Tail,
    user: usize,
    quantity: u32,
    state: ReservationState,
    number: i64,
    deadline: i64,
    /// The price of one unit when it was held.
    price: i64,
    order: Option<Order>,
    /// Whether it ended so long ago that nobody can ask for it any more.
    forgotten: bool,
}

impl Reservation {
    /// Units that this reservation takes from the shopper's cap, and whether it is alive.
    fn takes(&self) -> (i64, bool) {
        let units = i64::from(self.quantity);
        match (self.state, self.order.as_ref().map(|order| order.state)) {
            (ReservationState::Queued | ReservationState::Held, _) => (units, true),
            (ReservationState::Ordered, Some(OrderState::Unpaid)) => (units, true),
            (ReservationState::Ordered, Some(OrderState::Paid)) => (units, false),
            _ => (0, false),
        }
    }

    fn lapses_at(&self) -> Option<i64> {
        match (self.state, &self.order) {
            (ReservationState::Held, _) => Some(self.deadline),
            (ReservationState::Ordered, Some(order)) if order.state == OrderState::Unpaid => {
                Some(order.pay_by)
            }
            _ => None,
        }
    }
}

struct Model {
    lane: Lane,
    now: i64,
    terms: Terms,
    switch: Switch,
    total: i64,
    reservations: Vec<Reservation>,
    queue: VecDeque<usize>,
    admitted: i64,
    drained: i64,
    waiting_since: Option<i64>,
    burnt: BTreeSet<u8>,
    events: Vec<Value>,
    /// Numbers of events that the order database does not have.
    uncopied: BTreeSet<usize>,
    /// Reservations that ended, and in which second at the latest.
    ended: VecDeque<(i64, usize)>,
}

impl Model {
    fn sum(&self, counts: impl Fn(&Reservation) -> bool) -> i64 {
        self.reservations.iter().filter(|r| counts(r)).map(|r| i64::from(r.quantity)).sum()
    }

    fn held(&self) -> i64 {
        self.sum(|r| r.state == ReservationState::Held)
    }

    fn with_order(&self, state: OrderState) -> i64 {
        self.sum(|r| r.order.as_ref().is_some_and(|order| order.state == state))
    }

    fn taken(&self) -> i64 {
        self.held() + self.with_order(OrderState::Unpaid) + self.with_order(OrderState::Paid)
    }

    fn available(&self) -> i64 {
        self.total - self.taken()
    }

    fn note_ended(&mut self, at: usize) {
        self.ended.push_back(((self.now + 999) / 1_000, at));
    }

    /// Forgets up to `most` reservations that ended ten minutes ago.
    fn forget_ended(&mut self, most: usize) {
        for _ in 0..most {
            let Some((_, at)) = self.ended.pop_front_if(|(second, _)| self.now >= *second * 1_000 + 600_000)
            else {
                return;
            };
            self.reservations[at].forgotten = true;
        }
    }

    fn position(&self, reservation: &Reservation) -> u64 {
        match reservation.state {
            ReservationState::Queued => u64::try_from(reservation.number - self.drained).unwrap(),
            _ => 0,
        }
    }

    fn deadline(reservation: &Reservation) -> Option<Timestamp> {
        (reservation.state == ReservationState::Held).then(|| Timestamp::from_millis(reservation.deadline))
    }

    fn id(&self, at: usize) -> ReservationId {
        ReservationId::new(self.lane.clone(), self.reservations[at].tail.clone())
    }

    fn order_view(&self, at: usize) -> OrderView {
        let reservation = &self.reservations[at];
        let order = reservation.order.as_ref().unwrap();
        let id = self.id(at).order();
        OrderView {
            state: order.state,
            user: user(USERS[reservation.user]),
            quantity: reservation.quantity,
            unit_price: Money::new(order.unit, self.terms.price.currency),
            created_at: Timestamp::from_millis(order.created),
            pay_by: Timestamp::from_millis(order.pay_by),
            paid_at: (order.paid_at > 0).then(|| Timestamp::from_millis(order.paid_at)),
            payment: order
                .payment
                .map(|state| (PaymentId { order: id.clone(), attempt: order.attempt }, state)),
            surplus: order
                .surplus
                .iter()
                .map(|(attempt, refunded)| Surplus {
                    payment: PaymentId { order: id.clone(), attempt: *attempt },
                    refunded: *refunded,
                })
                .collect(),
            id,
        }
    }

    fn tell(&mut self, at: usize, kind: &str) {
        let attempt = self.reservations[at].order.as_ref().unwrap().attempt;
        self.tell_of(at, kind, attempt);
    }

    fn tell_terms(&mut self) {
        let terms = &self.terms;
        self.events.push(json!({
            "seq": self.events.len() + 1, "type": "lane.changed", "at": self.now, "item_id": self.lane.item.to_string(),
            "lane": 0, "switch": self.switch, "total": self.total, "starts_at": terms.starts_at.millis(),
            "ends_at": terms.ends_at.millis(), "cap": terms.per_user_limit, "mode": terms.mode,
            "price": terms.price.amount, "currency": terms.price.currency, "hold_ms": terms.hold_ms,
            "pay_ms": terms.pay_ms, "queue_factor": terms.rules.rules.queue_factor, "rates": "0|0|0|0|0",
            "purge_at": terms.ends_at.millis() + terms.retention_ms,
        }));
        self.uncopied.insert(self.events.len());
    }

    fn tell_of(&mut self, at: usize, kind: &str, attempt: u32) {
        let view = self.order_view(at);
        let order = self.reservations[at].order.as_ref().unwrap();
        let mut event = json!({
            "seq": self.events.len() + 1, "type": kind, "at": self.now, "item_id": self.lane.item.to_string(),
            "lane": 0, "order_id": view.id.to_string(), "reservation_id": view.id.reservation().to_string(),
            "user_id": view.user.as_str(), "quantity": view.quantity, "unit_price": order.unit, "currency": "CNY",
            "state": order.state.as_str(), "pay_by": order.pay_by,
        });
        if attempt > 0 {
            event["payment_id"] = json!(PaymentId { order: view.id.clone(), attempt }.to_string());
            event["amount"] = json!(view.total().amount);
        }
        if order.paid_at > 0 {
            event["paid_at"] = json!(order.paid_at);
        }
        self.events.push(event);
        self.uncopied.insert(self.events.len());
    }

    fn move_order(&mut self, at: usize, event: OrderEvent) {
        let order = self.reservations[at].order.as_mut().unwrap();
        order.state = order.state.after(event).unwrap();
        self.tell(at, event.event_type());
    }

    fn pace(&self, position: u64) -> Pace {
        let has_unit = i64::try_from(position).unwrap() <= self.available();
        let hold_ms = if has_unit { u64::try_from(self.terms.hold_ms).unwrap() } else { 0 };
        Pace { position, waiting: self.queue.len() as u64, hold_ms, ..Pace::default() }
    }

    fn reserve(&mut self, tail: Tail, who: usize, quantity: u32, challenge: Option<(u8, bool)>) -> Reserved {
        if let Some(at) = self.reservations.iter().position(|r| r.user == who && r.takes().1) {
            let r = &self.reservations[at];
            return Reserved::Existing {
                id: self.id(at),
                state: r.state,
                quantity: r.quantity,
                deadline: Self::deadline(r),
                pace: self.pace(self.position(r)),
            };
        }
        if self.switch == Switch::Closed || self.now >= ENDS {
            return Reserved::Ended;
        }
        if self.switch == Switch::Paused {
            return Reserved::Paused;
        }
        let taken: i64 = self.reservations.iter().filter(|r| r.user == who).map(|r| r.takes().0).sum();
        let limit = self.terms.per_user_limit;
        if taken + i64::from(quantity) > i64::from(limit) {
            return Reserved::PurchaseLimit { limit, taken: u32::try_from(taken).unwrap() };
        }
        if self.available() < i64::from(quantity) {
            return Reserved::SoldOut { available: u64::try_from(self.available()).unwrap() };
        }
        let waiting = self.queue.len() as i64;
        let queued = self.terms.mode == Mode::Queued || waiting > 0;
        if queued && waiting >= i64::from(self.terms.rules.rules.queue_factor) * self.total {
            return Reserved::QueueFull;
        }
        if let Some((challenge, answered)) = challenge
            && (!self.burnt.insert(challenge) || !answered)
        {
            return Reserved::ChallengeFailed;
        }
        self.admitted += 1;
        let mut reservation = Reservation {
            tail,
            user: who,
            quantity,
            state: ReservationState::Queued,
            number: self.admitted,
            deadline: 0,
            price: 0,
            order: None,
            forgotten: false,
        };
        let at = self.reservations.len();
        if queued {
            self.reservations.push(reservation);
            self.queue.push_back(at);
            if self.queue.len() == 1 {
                self.waiting_since = Some(self.now);
            }
            return Reserved::Queued { id: self.id(at), pace: self.pace(self.queue.len() as u64) };
        }
        self.drained += 1;
        reservation.state = ReservationState::Held;
        reservation.deadline = self.now + self.terms.hold_ms;
        reservation.price = self.terms.price.amount;
        let deadline = Timestamp::from_millis(reservation.deadline);
        self.reservations.push(reservation);
        Reserved::Held { id: self.id(at), deadline }
    }

    fn is_over_in_pause(&self) -> bool {
        self.switch == Switch::Paused && self.now >= ENDS
    }

    fn grant(&mut self, most: u32) -> Granted {
        let over = self.switch == Switch::Closed || self.is_over_in_pause();
        if self.switch == Switch::Paused && !over {
            self.waiting_since = None;
            return Granted::Paused;
        }
        let (mut held, mut sold_out, mut rejected) = (0, 0, 0);
        let is_empty = self.queue.is_empty();
        for _ in 0..most {
            let Some(at) = self.queue.pop_front() else { break };
            self.drained += 1;
            let available = self.available();
            let reservation = &mut self.reservations[at];
            if reservation.state != ReservationState::Queued {
                continue;
            }
            if over {
                reservation.state = ReservationState::Rejected;
                rejected += 1;
                self.note_ended(at);
            } else if available >= i64::from(reservation.quantity) {
                reservation.state = ReservationState::Held;
                reservation.deadline = self.now + self.terms.hold_ms;
                reservation.price = self.terms.price.amount;
                held += 1;
            } else {
                reservation.state = ReservationState::SoldOut;
                sold_out += 1;
                self.note_ended(at);
            }
        }
        if !is_empty {
            self.forget_ended(2 * (sold_out + rejected) as usize + 1);
        }
        let waiting = self.queue.len() as u64;
        self.waiting_since = (waiting > 0).then_some(self.now);
        Granted::Drained { decided: held + sold_out + rejected, held, sold_out, rejected, waiting }
    }

    fn due(&self) -> Vec<usize> {
        let mut due: Vec<_> = (0..self.reservations.len())
            .filter_map(|at| Some((self.reservations[at].lapses_at()?, at)))
            .filter(|(moment, _)| *moment <= self.now)
            .collect();
        due.sort_by_key(|(moment, at)| (*moment, self.reservations[*at].tail.as_str().to_owned()));
        due.into_iter().map(|(_, at)| at).collect()
    }

    fn lapse(&mut self, most: u32) -> Lapsed {
        let due = self.due();
        let (mut holds, mut orders) = (0, 0);
        for at in due.iter().take(most as usize) {
            if self.reservations[*at].state == ReservationState::Held {
                self.reservations[*at].state = ReservationState::Expired;
                holds += 1;
                self.note_ended(*at);
            } else {
                self.move_order(*at, OrderEvent::TimedOut);
                orders += 1;
            }
        }
        self.forget_ended(2 * holds as usize + 500);
        let waiting = self.queue.len() as u64;
        self.waiting_since =
            (waiting > 0 && (self.switch != Switch::Paused || self.is_over_in_pause())).then_some(self.now);
        Lapsed {
            holds,
            orders,
            overdue: (due.len() as u64).saturating_sub(u64::from(most)),
            waiting,
            purge_due: self.now >= ENDS + RETENTION_MS,
        }
    }

    fn poll(&mut self, at: usize, own: bool) -> Option<ReservationView> {
        if !own || self.reservations[at].forgotten {
            return None;
        }
        let over = self.is_over_in_pause();
        let is_long = self.waiting_since.is_some_and(|since| self.now - since >= 300);
        let is_queued = self.reservations[at].state == ReservationState::Queued;
        let queue = (self.switch != Switch::Paused || over) && is_long
            || over && is_queued && self.waiting_since.is_none();
        if queue {
            self.waiting_since = Some(self.now);
        }
        let r = &self.reservations[at];
        Some(ReservationView {
            state: r.state,
            quantity: r.quantity,
            deadline: Self::deadline(r),
            overdue: Overdue { queue, deadlines: !self.due().is_empty() },
            pace: self.pace(self.position(r)),
        })
    }

    fn release(&mut self, at: usize, own: bool) -> Released {
        let reservation = &mut self.reservations[at];
        match reservation.state {
            _ if !own || reservation.forgotten => Released::NotFound,
            ReservationState::Released => Released::Done,
            ReservationState::Queued | ReservationState::Held => {
                reservation.state = ReservationState::Released;
                self.note_ended(at);
                self.forget_ended(3);
                Released::Done
            }
            state => Released::Conflict(state),
        }
    }

    fn checkout(&mut self, at: usize, own: bool) -> CheckedOut {
        let now = self.now;
        let reservation = &mut self.reservations[at];
        match reservation.state {
            _ if !own || reservation.forgotten => return CheckedOut::NotFound,
            ReservationState::Ordered => return CheckedOut::Existing(self.order_view(at)),
            ReservationState::Expired => return CheckedOut::HoldExpired,
            ReservationState::Held if now >= reservation.deadline => return CheckedOut::HoldExpired,
            ReservationState::Held => {}
            state => return CheckedOut::Conflict(state),
        }
        reservation.state = ReservationState::Ordered;
        reservation.order = Some(Order {
            state: OrderState::Unpaid,
            unit: reservation.price,
            created: now,
            pay_by: now + self.terms.pay_ms,
            paid_at: 0,
            attempt: 0,
            attempts: 0,
            payment: None,
            surplus: Vec::new(),
        });
        self.tell(at, "order.created");
        CheckedOut::Made(self.order_view(at))
    }

    fn pay(&mut self, at: usize, own: bool) -> PaymentOpened {
        let now = self.now;
        let Some(order) = self.reservations[at].order.as_mut().filter(|_| own) else {
            return PaymentOpened::NotFound;
        };
        if order.state != OrderState::Unpaid {
            return PaymentOpened::Conflict(order.state);
        }
        if now >= order.pay_by {
            return PaymentOpened::Conflict(OrderState::TimedOut);
        }
        if order.payment == Some(PaymentState::Pending) {
            return PaymentOpened::Pending(self.order_view(at));
        }
        order.attempts += 1;
        order.attempt = order.attempts;
        order.payment = Some(PaymentState::Pending);
        self.tell(at, "payment.created");
        PaymentOpened::New(self.order_view(at))
    }

    fn settle(&mut self, at: usize, attempt: u32, succeeded: bool, off_by: i64) -> Settled {
        let now = self.now;
        let Some(order) = self.reservations[at].order.as_mut() else { return Settled::NotFound };
        if attempt < 1 || attempt > order.attempts {
            return Settled::NotFound;
        }
        if off_by != 0 {
            return Settled::WrongAmount { due: order.unit * i64::from(self.reservations[at].quantity) };
        }
        if !succeeded {
            if attempt != order.attempt || order.payment != Some(PaymentState::Pending) {
                return Settled::Repeated(self.order_view(at));
            }
            order.payment = Some(PaymentState::Failed);
            self.tell(at, "payment.failed");
            return Settled::Moved(self.order_view(at));
        }
        if matches!(order.state, OrderState::Paid | OrderState::RefundDue | OrderState::Refunded) {
            if attempt == order.attempt || order.surplus.iter().any(|(known, _)| *known == attempt) {
                return Settled::Repeated(self.order_view(at));
            }
            order.surplus.push((attempt, false));
            self.tell_of(at, "payment.refund_due", attempt);
            return Settled::Moved(self.order_view(at));
        }
        order.attempt = attempt;
        if order.state == OrderState::Unpaid && now >= order.pay_by {
            self.move_order(at, OrderEvent::TimedOut);
        }
        let order = self.reservations[at].order.as_mut().unwrap();
        order.payment = Some(PaymentState::Succeeded);
        order.paid_at = now;
        let event = if order.state == OrderState::Unpaid { OrderEvent::Paid } else { OrderEvent::PaidLate };
        self.move_order(at, event);
        Settled::Moved(self.order_view(at))
    }

    fn cancel(&mut self, at: usize, own: bool) -> Cancelled {
        let Some(order) = self.reservations[at].order.as_ref().filter(|_| own) else {
            return Cancelled::NotFound;
        };
        match order.state {
            OrderState::Unpaid => self.move_order(at, OrderEvent::Cancelled),
            OrderState::Cancelled => {}
            state => return Cancelled::Conflict(state),
        }
        Cancelled::Done(self.order_view(at))
    }

    fn refund(&mut self, at: usize) -> Refunded {
        match self.reservations[at].order.as_ref().map(|order| order.state) {
            None => return Refunded::NotFound,
            Some(OrderState::RefundDue) => self.move_order(at, OrderEvent::Refunded),
            Some(OrderState::Refunded) => {}
            Some(state) => return Refunded::Conflict(state),
        }
        Refunded::Done(self.order_view(at))
    }

    fn refund_payment(&mut self, at: usize, attempt: u32) -> Refunded {
        let Some(order) = self.reservations[at].order.as_mut() else { return Refunded::NotFound };
        if attempt > order.attempts {
            return Refunded::NotFound;
        }
        if attempt == order.attempt {
            return self.refund(at);
        }
        let state = order.state;
        match order.surplus.iter_mut().find(|(known, _)| *known == attempt) {
            None => return Refunded::Conflict(state),
            Some((_, true)) => {}
            Some((_, refunded)) => {
                *refunded = true;
                self.tell_of(at, "payment.refunded", attempt);
            }
        }
        Refunded::Done(self.order_view(at))
    }

    fn stock(&mut self, units: i64, add: bool) -> Stocked {
        let wanted = if add { self.total + units } else { units };
        if self.switch == Switch::Closed || wanted < self.taken() {
            return Stocked::Conflict { taken: self.taken(), total: self.total };
        }
        if self.total != wanted {
            self.total = wanted;
            self.tell_terms();
        }
        Stocked::Done { total: wanted, available: self.available() }
    }

    fn switch(&mut self, wanted: Switch) -> Switched {
        let before = self.switch;
        if before == Switch::Closed && wanted != Switch::Closed {
            return Switched::Closed;
        }
        self.switch = wanted;
        if wanted != before {
            self.tell_terms();
        }
        if wanted != Switch::Paused && !self.queue.is_empty() {
            self.waiting_since = Some(self.now);
        }
        Switched::Done { before }
    }
}

/// One walk over a lane of its own.
async fn walk(redis: &Connection, lane: Lane, steps: &[Step]) {
    let mut first = terms();
    (first.per_user_limit, first.ends_at) = (3, Timestamp::from_millis(ENDS));
    let engine = Engine::at(redis, Timestamp::from_millis(NOW));
    assert_eq!(engine.publish(&lane, 8, &first).await.unwrap(), Published::New);
    let mut model = Model {
        lane: lane.clone(),
        now: NOW,
        terms: first,
        switch: Switch::Open,
        total: 8,
        reservations: Vec::new(),
        queue: VecDeque::new(),
        admitted: 0,
        drained: 0,
        waiting_since: None,
        burnt: BTreeSet::new(),
        events: Vec::new(),
        uncopied: BTreeSet::new(),
        ended: VecDeque::new(),
    };
    model.tell_terms();
    for (number, step) in steps.iter().enumerate() {
        take(redis, &mut model, number, step).await;
        let engine = Engine::at(redis, Timestamp::from_millis(model.now));
        let view = engine.view(&lane).await.unwrap().unwrap();
        assert_eq!(
            [view.total, view.available, view.held, view.ordered, view.sold],
            [
                model.total,
                model.available(),
                model.held(),
                model.with_order(OrderState::Unpaid),
                model.with_order(OrderState::Paid)
            ]
        );
        assert_eq!((view.admitted, view.waiting), (model.admitted as u64, model.queue.len() as u64));
        assert_eq!(view.outbox, model.uncopied.len() as u64);
        assert_eq!(engine.audit(&lane, 10_000).await.unwrap().unwrap().differences(), Vec::<String>::new());
        if number % 16 == 0 {
            assert_sound(redis, &lane).await;
        }
    }
    assert_sound(redis, &lane).await;
}

/// Takes `step` on both sides and compares the replies.
async fn take(redis: &Connection, model: &mut Model, number: usize, step: &Step) {
    let now = Timestamp::from_millis(model.now);
    let engine = Engine::at(redis, now);
    let lane = model.lane.clone();
    let known = model.reservations.len();
    let find = |which: &Index| (known > 0).then(|| which.index(known));
    // Somebody's own, or one of another shopper.
    let shopper = |model: &Model, at: usize, own: bool| {
        let owner = model.reservations[at].user;
        user(USERS[if own { owner } else { (owner + 1) % USERS.len() }])
    };
    match step {
        Step::Reserve { user: who, quantity, challenge } => {
            let tail: Tail = format!("{number:012}").parse().unwrap();
            let used = challenge.map(|(id, answered)| ChallengeUse {
                id: format!("challenge-{id}"),
                expires_at: Timestamp::from_millis(NOW + 120_000),
                answered,
            });
            let name = user(USERS[*who]);
            let wish =
                Wish { user: &name, quantity: *quantity, tail: tail.clone(), challenge: used, address: None };
            let answer = engine.reserve(&lane, &wish).await.unwrap().outcome;
            assert_eq!(answer, model.reserve(tail, *who, *quantity, *challenge));
        }
        Step::Grant { most } => assert_eq!(engine.grant(&lane, *most).await.unwrap(), model.grant(*most)),
        Step::Poll { which, own } => {
            let Some(at) = find(which) else { return };
            let answer = engine.poll(&model.id(at), &shopper(model, at, *own), false).await.unwrap().outcome;
            assert_eq!(answer, model.poll(at, *own).map_or(Polled::NotFound, Polled::Found));
        }
        Step::Release { which, own } => {
            let Some(at) = find(which) else { return };
            let answer = engine.release(&model.id(at), &shopper(model, at, *own)).await.unwrap();
            assert_eq!(answer, model.release(at, *own));
        }
        Step::Checkout { which, own, words } => {
            let Some(at) = find(which) else { return };
            let contact =
                Contact { contact: words.clone(), address: "\"|\n\\".into(), note: words.repeat(3) };
            let answer = engine.checkout(&model.id(at), &shopper(model, at, *own), &contact).await.unwrap();
            assert_eq!(answer, model.checkout(at, *own));
            if let CheckedOut::Made(order) = answer {
                let (shown, kept) = engine.order(&order.id, None).await.unwrap().unwrap();
                assert!(shown == order && kept == Some(contact));
            }
        }
        Step::Pay { which, own } => {
            let Some(at) = find(which) else { return };
            let answer = engine.pay(&model.id(at).order(), &shopper(model, at, *own)).await.unwrap();
            assert_eq!(answer, model.pay(at, *own));
        }
        Step::Settle { which, attempt, succeeded, off_by } => {
            let Some(at) = find(which) else { return };
            let order: OrderId = model.id(at).order();
            let reservation = &model.reservations[at];
            let unit = reservation.order.as_ref().map_or(1, |order| order.unit);
            let amount = unit * i64::from(reservation.quantity) + off_by;
            let outcome = if *succeeded { PaymentOutcome::Succeeded } else { PaymentOutcome::Failed };
            let payment = PaymentId { order, attempt: *attempt };
            let answer = engine.settle(&payment, outcome, amount).await.unwrap();
            assert_eq!(answer, model.settle(at, *attempt, *succeeded, *off_by));
        }
        Step::Cancel { which, own } => {
            let Some(at) = find(which) else { return };
            let answer = engine.cancel(&model.id(at).order(), &shopper(model, at, *own)).await.unwrap();
            assert_eq!(answer, model.cancel(at, *own));
        }
        Step::Refund { which } => {
            let Some(at) = find(which) else { return };
            assert_eq!(engine.refund(&model.id(at).order()).await.unwrap(), model.refund(at));
        }
        Step::RefundPayment { which, attempt } => {
            let Some(at) = find(which) else { return };
            let payment = PaymentId { order: model.id(at).order(), attempt: *attempt };
            let answer = engine.refund_payment(&payment).await.unwrap();
            assert_eq!(answer, model.refund_payment(at, *attempt));
        }
        Step::Lapse { most } => {
            assert_eq!(engine.lapse(&lane, *most).await.unwrap(), Some(model.lapse(*most)));
        }
        Step::Stock(units, add) => {
            let change = if *add { StockChange::Add(*units) } else { StockChange::Total(*units) };
            assert_eq!(engine.stock(&lane, change).await.unwrap(), model.stock(*units, *add));
        }
        Step::Switch(wanted) => {
            assert_eq!(engine.switch(&lane, *wanted).await.unwrap(), model.switch(*wanted));
        }
        Step::Revise { limit, instant, price, factor } => {
            let mut terms = model.terms.clone();
            (terms.per_user_limit, terms.rules.rules.queue_factor, terms.price.amount) =
                (*limit, *factor, *price);
            terms.mode = if *instant { Mode::Instant } else { Mode::Queued };
            let answer = engine.revise(&lane, &terms).await.unwrap();
            if model.switch == Switch::Closed {
                assert_eq!(answer, Published::Closed);
            } else {
                assert_eq!(answer, Published::Revised);
                model.terms = terms;
                model.tell_terms();
            }
        }
        Step::Wait(millis) => model.now += millis,
        Step::Copy { most, taken } => {
            let entries = engine.read_outbox(&lane, *most).await.unwrap();
            let events: Vec<Value> =
                entries.iter().map(|entry| serde_json::from_str(&entry.event).unwrap()).collect();
            let expected: Vec<Value> = model
                .uncopied
                .iter()
                .take(*most as usize)
                .map(|number| model.events[number - 1].clone())
                .collect();
            assert_eq!(events, expected);
            let ids: Vec<&str> =
                entries.iter().take(taken.index(entries.len() + 1)).map(|entry| entry.id.as_str()).collect();
            for event in &events[..ids.len()] {
                model.uncopied.remove(&(event["seq"].as_u64().unwrap() as usize));
            }
            let left = engine.acknowledge(&lane, &ids).await.unwrap();
            assert_eq!(left, model.uncopied.len() as u64);
        }
        Step::FlushScripts => {
            redis.command("SCRIPT", &["FLUSH"]).await;
        }
    }
}

#[test]
fn random_walks_agree_with_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, redis) = runtime.block_on(async {
        let server = RedisServer::on_socket(AppendOnly::Off).await;
        let redis = server.connect().await;
        (server, redis)
    });
    let walks = Cell::new(0);
    let config =
        Config { cases: 60, max_shrink_iters: 3_000, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&proptest::collection::vec(step(), 50..200), |steps| {
        walks.set(walks.get() + 1);
        let lane = Lane::first(format!("i{:010}", walks.get()).parse().unwrap());
        runtime.block_on(walk(&redis, lane, &steps));
        Ok(())
    });
    drop(server);
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
