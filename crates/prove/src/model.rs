//! The engine as the design describes it, said as plainly as possible: the reference that the scripts are compared with.
//!
//! It keeps every reservation that ever was, and counts. It has no counters, records, scores or caches that could be
//! wrong, does no I/O and knows nothing of Redis. What a step answers is a line of words, so that a story can show it.

use sale::item::Switch;
use sale::order::OrderState;
use sale::reservation::ReservationState;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::allowances::{self, Caller, Debts};
use crate::provider::Provider;
use crate::words;

/// A moment in milliseconds.
pub type Moment = i64;
/// The number of the wish that a reservation was made by; its order shares it.
pub type Tail = u32;
/// A shopper, by their place in [`crate::steps::SHOPPERS`].
pub type Who = u8;

/// When every run begins: 2026-11-21T10:00:00Z.
pub const BEGIN: Moment = 1_795_255_200_000;

/// A queue that nobody drains and an outbox that nobody copies are looked at again after so long.
const QUEUE_PATIENCE: Moment = 500;
const OUTBOX_PATIENCE: Moment = 1_000;
const PURGE_PATIENCE: Moment = 60_000;
/// An operator's key stands for the same request for so long.
const ANSWERS_KEPT: Moment = 86_400_000;
/// A reservation that ended can be asked for so long, at least.
const ENDED_KEPT: Moment = 600_000;
/// Points of the time series are ten seconds long; after an hour they are added to points of ten minutes, which go after a day.
const POINT: Moment = 10_000;
const LONG_POINT: Moment = 600_000;
const SHORT_POINTS_KEPT: Moment = 3_600_000;
const POINTS_KEPT: Moment = 86_400_000;
/// A poll that finds the queue waiting for so long does the work itself.
const POLL_PATIENCE: Moment = 300;

/// What an operator publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The version of the item's document; older terms never replace newer ones.
    pub version: u64,
    pub starts_at: Moment,
    pub ends_at: Moment,
    pub cap: u32,
    pub instant: bool,
    pub price: i64,
    pub hold_ms: Moment,
    pub pay_ms: Moment,
    pub retention_ms: Moment,
}

/// What an operator sets live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The versions of the shop's rules and of the item's that they come from.
    pub shop_version: u64,
    pub item_version: u64,
    /// Tries of a shopper and of an address, and polls of a shopper, in ten seconds; 0 for any number.
    pub tries: u32,
    pub address_tries: u32,
    pub polls: u32,
    pub polls_per_second: u32,
    /// Divides 1000, so that a unit takes a whole number of milliseconds; 0 for any number.
    pub units_per_second: u32,
    pub queue_factor: u32,
    pub paused: bool,
}

/// A lane as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    pub terms: Terms,
    /// Nothing in a lane that was rebuilt from nothing.
    pub version: Option<u64>,
    pub purge_at: Moment,
    pub rules: Rules,
    /// Whether it has rules of its own versions; a lane that was rebuilt from nothing has none.
    pub has_versions: bool,
    pub switch: Switch,
    /// Whether it is the rules that pause it.
    pub paused_by_rules: bool,
    pub total: i64,
    /// Places of the queue ever given, and ever served.
    pub admitted: i64,
    pub drained: i64,
    /// The number of its last event.
    pub seq: i64,
    /// Since when nobody has looked at the queue, and at the outbox.
    pub waiting_since: Option<Moment>,
    pub outbox_since: Option<Moment>,
    /// Until when the admission rate is used up.
    pub units_until: Option<Moment>,
    /// The number of the last change of an operator.
    pub last_change: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payment {
    Pending,
    Failed,
    Succeeded,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub who: Who,
    pub quantity: u32,
    pub state: OrderState,
    pub unit_price: i64,
    pub created: Moment,
    pub pay_by: Moment,
    pub paid_at: Option<Moment>,
    /// The payment that counts, counted from 1: the latest until one succeeds. 0 before the first.
    pub attempt: u32,
    pub attempts: u32,
    pub payment: Option<Payment>,
    /// Other payments that brought money, and whether it went back.
    pub surplus: BTreeMap<u32, bool>,
    /// Which of [`crate::steps::WORDS`] the shopper wrote, until they are erased.
    pub words: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub who: Who,
    pub quantity: u32,
    pub state: ReservationState,
    /// Its number in the queue, while it is queued.
    pub number: i64,
    /// When the hold lapses, while it is held.
    pub deadline: Moment,
    /// The price of the hold, which its order keeps.
    pub unit_price: i64,
    pub order: Option<Order>,
}

impl Reservation {
    fn order_state(&self) -> Option<OrderState> {
        self.order.as_ref().map(|order| order.state)
    }

    /// Whether it keeps its shopper from another: a shopper has one wish at a time.
    pub fn is_alive(&self) -> bool {
        match self.state {
            ReservationState::Queued | ReservationState::Held => true,
            ReservationState::Ordered => self.order_state() == Some(OrderState::Unpaid),
            _ => false,
        }
    }

    /// Units that count against the shopper's cap: all that are not returned.
    pub fn counted(&self) -> i64 {
        let counts = self.is_alive() || self.order_state() == Some(OrderState::Paid);
        if counts { i64::from(self.quantity) } else { 0 }
    }

    /// When its units return to stock by themselves.
    pub fn lapses_at(&self) -> Option<Moment> {
        match (self.state, &self.order) {
            (ReservationState::Held, _) => Some(self.deadline),
            (ReservationState::Ordered, Some(order)) if order.state == OrderState::Unpaid => {
                Some(order.pay_by)
            }
            _ => None,
        }
    }
}

/// What the order database is told.
#[derive(Debug, Clone, Eq)]
pub struct Event {
    pub seq: i64,
    pub at: Moment,
    pub kind: &'static str,
    pub about: About,
}

/// Events are the same if their texts are, and no text has what the shopper wrote.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        let without_words = |event: &Event| {
            let mut about = event.about.clone();
            if let About::Order { order, .. } = &mut about {
                order.words = None;
            }
            (event.seq, event.at, event.kind, about)
        };
        without_words(self) == without_words(other)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An order as it is then, and by which payment.
    Order { tail: Tail, order: Order, attempt: u32 },
    /// The lane's terms and stock.
    Lane { switch: Switch, total: i64, terms: Terms, purge_at: Moment, rules: Rules },
    /// What the operator wrote of the item.
    Documents,
}

/// A change by an operator, as it waits for the shop's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub number: i64,
    pub at: Moment,
    /// As JSON.
    pub before: String,
    pub after: String,
}

/// What was answered to a change of the stock under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub at: Moment,
    pub units: i64,
    pub add: bool,
    pub said: String,
}

/// All that Redis keeps of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub lane: Option<Lane>,
    pub reservations: BTreeMap<Tail, Reservation>,
    /// Places in order; one that was given back stays until its turn.
    pub queue: VecDeque<Tail>,
    /// Events that the order database has not taken.
    pub outbox: Vec<Event>,
    pub changes: Vec<Change>,
    /// The first answers to changes of the stock under a key.
    pub answers: BTreeMap<u8, Answer>,
    /// Challenges that were used, right or wrong.
    pub used: BTreeSet<u8>,
    /// What callers owe.
    pub debts: Debts,
    /// Units by the point of time and by what happened to them.
    pub series: BTreeMap<(Moment, &'static str), i64>,
    /// In which ten minutes old points were last made longer.
    pub series_tidied: Moment,
    /// Reservations that ended, the oldest first, and in which second at the latest.
    pub ended: VecDeque<(Moment, Tail)>,
    /// Shoppers who got units. Those who gave them back stay in it: their requests only go on to Redis.
    pub holders: BTreeSet<Who>,
}

/// What a step must have caused beside the state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signals {
    pub ring_grant: bool,
    pub ring_ledger: bool,
    /// Whether the alarm was pointed at the lane's next moment.
    pub armed: bool,
    /// At which moment it was pointed meanwhile, where the step had several scripts.
    pub armed_for: Option<Moment>,
    /// Whether that was done if there was no alarm at all.
    pub armed_if_lost: bool,
    /// Events that were told.
    pub told: usize,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub now: Moment,
    pub kept: Kept,
    /// Events that the order database has, in order.
    pub written: Vec<Event>,
    /// Orders whose words the order database has erased, or will not take.
    pub erased: BTreeSet<Tail>,
    /// The shop's log, and the last of the lane's changes in it.
    pub log: Vec<Change>,
    pub log_position: i64,
    pub provider: Provider,
    /// Whether the lane is out of the sale while it is rebuilt.
    pub rebuilding: bool,
    /// Whether the lane left Redis when its time was over.
    pub purged: bool,
    /// What the step that was taken last must have caused.
    pub signals: Signals,
}

/// What a shopper asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    pub who: Who,
    pub quantity: u32,
    /// The challenge, and whether its solution is right; nothing where challenges are off.
    pub challenge: Option<(u8, bool)>,
    /// Where it comes from; nothing if callers are not counted.
    pub address: Option<u8>,
    pub rehearsal: bool,
}

/// What a wish costs its callers.
enum Cost {
    Nothing,
    Try,
    WrongSolution,
    Admission,
}

/// How many of the queue a step decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drained {
    pub held: u64,
    pub sold_out: u64,
    pub rejected: u64,
    pub waiting: u64,
}

impl Model {
    pub fn new() -> Self {
        Model {
            now: BEGIN,
            kept: Kept::default(),
            written: Vec::new(),
            erased: BTreeSet::new(),
            log: Vec::new(),
            log_position: 0,
            provider: Provider::default(),
            rebuilding: false,
            purged: false,
            signals: Signals::default(),
        }
    }

    // What can be counted.

    fn units(&self, counts: impl Fn(&Reservation) -> bool) -> i64 {
        self.kept.reservations.values().filter(|r| counts(r)).map(|r| i64::from(r.quantity)).sum()
    }

    pub fn held(&self) -> i64 {
        self.units(|r| r.state == ReservationState::Held)
    }

    pub fn ordered(&self) -> i64 {
        self.units(|r| r.order_state() == Some(OrderState::Unpaid))
    }

    pub fn sold(&self) -> i64 {
        self.units(|r| r.order_state() == Some(OrderState::Paid))
    }

    pub fn available(&self) -> i64 {
        let total = self.kept.lane.as_ref().map_or(0, |lane| lane.total);
        total - self.held() - self.ordered() - self.sold()
    }

    /// Payments whose money has to go back.
    pub fn refunds_due(&self) -> i64 {
        let orders = self.kept.reservations.values().filter_map(|r| r.order.as_ref());
        orders
            .map(|order| {
                let surplus = order.surplus.values().filter(|returned| !**returned).count() as i64;
                surplus + i64::from(order.state == OrderState::RefundDue)
            })
            .sum()
    }

    /// Units of `who` that count against the cap.
    pub fn counted(&self, who: Who) -> i64 {
        self.kept.reservations.values().filter(|r| r.who == who).map(Reservation::counted).sum()
    }

    /// The reservation of `who` that is alive.
    pub fn alive(&self, who: Who) -> Option<Tail> {
        self.kept.reservations.iter().find(|(_, r)| r.who == who && r.is_alive()).map(|(tail, _)| *tail)
    }

    /// The place in the queue, 0 once it is decided.
    pub fn position(&self, tail: Tail) -> i64 {
        match (&self.kept.lane, self.kept.reservations.get(&tail)) {
            (Some(lane), Some(r)) if r.state == ReservationState::Queued => r.number - lane.drained,
            _ => 0,
        }
    }

    /// Reservations whose time is over, the longest overdue first.
    fn overdue(&self) -> Vec<Tail> {
        let lapses = self.kept.reservations.iter().filter_map(|(tail, r)| Some((r.lapses_at()?, *tail)));
        let mut overdue: Vec<_> = lapses.filter(|(at, _)| *at <= self.now).collect();
        overdue.sort_unstable();
        overdue.into_iter().map(|(_, tail)| tail).collect()
    }

    /// When the lane must be looked at next, whatever happens.
    pub fn next_moment(&self) -> Option<Moment> {
        let lane = self.kept.lane.as_ref()?;
        let purge = if lane.purge_at <= self.now { self.now + PURGE_PATIENCE } else { lane.purge_at };
        let lapses = self.kept.reservations.values().filter_map(Reservation::lapses_at).min();
        let queue = lane.waiting_since.map(|since| since + QUEUE_PATIENCE);
        // The queue of a paused lane is decided at the lane's end.
        let end =
            (lane.switch == Switch::Paused && lane.terms.ends_at > self.now).then_some(lane.terms.ends_at);
        let outbox = lane.outbox_since.map(|since| since + OUTBOX_PATIENCE);
        [Some(purge), lapses, queue, outbox, end].into_iter().flatten().min()
    }

    /// Where callers are `limited`, the pace keeps to the shopper's own polls too.
    fn pace(&self, position: i64, limited: bool) -> String {
        let lane = self.kept.lane.as_ref();
        let waiting = lane.map_or(0, |lane| lane.admitted - lane.drained);
        let hold_ms = lane.filter(|_| position <= self.available()).map_or(0, |lane| lane.terms.hold_ms);
        let polls = lane
            .map_or([0, 0], |lane| [lane.rules.polls_per_second, if limited { lane.rules.polls } else { 0 }]);
        words::pace(position, waiting, polls, hold_ms)
    }

    /// Whether the lane is paused past its end: then its queue is rejected, because nobody may resume it.
    fn is_over_in_pause(&self) -> bool {
        self.kept
            .lane
            .as_ref()
            .is_some_and(|lane| lane.switch == Switch::Paused && self.now >= lane.terms.ends_at)
    }

    /// Whether the queue has to wait, because the lane is paused.
    fn queue_rests(&self) -> bool {
        let is_paused = self.kept.lane.as_ref().is_some_and(|lane| lane.switch == Switch::Paused);
        is_paused && !self.is_over_in_pause()
    }

    // What happens inside of steps.

    fn count(&mut self, name: &'static str, units: i64) {
        if units <= 0 {
            return;
        }
        let count = self.kept.series.entry((self.now / POINT * POINT, name)).or_default();
        *count += units;
        let (is_new, period) = (*count == units, self.now / LONG_POINT * LONG_POINT);
        if !is_new || self.kept.series_tidied == period {
            return;
        }
        self.kept.series_tidied = period;
        for ((at, name), count) in std::mem::take(&mut self.kept.series) {
            let is_short = at >= period - SHORT_POINTS_KEPT;
            let at = if is_short { at } else { at / LONG_POINT * LONG_POINT };
            if is_short || at >= period - POINTS_KEPT {
                *self.kept.series.entry((at, name)).or_default() += count;
            }
        }
    }

    pub(crate) fn note_ended(&mut self, tail: Tail) {
        self.kept.ended.push_back(((self.now + 999) / 1_000, tail));
    }

    /// Forgets up to `most` reservations whose time is over. One that has an order stays.
    fn forget_ended(&mut self, most: usize) {
        for _ in 0..most {
            let is_over = |(second, _): &mut (Moment, Tail)| self.now >= *second * 1_000 + ENDED_KEPT;
            let Some((_, tail)) = self.kept.ended.pop_front_if(is_over) else { return };
            if self.kept.reservations.get(&tail).is_some_and(|r| r.order.is_none() && !r.is_alive()) {
                self.kept.reservations.remove(&tail);
            }
        }
    }

    fn ring_if_somebody_waits(&mut self) {
        self.signals.ring_grant |= !self.kept.queue.is_empty();
    }

    pub(crate) fn tell(&mut self, kind: &'static str, at: Moment, about: About) {
        let Some(lane) = self.kept.lane.as_mut() else { return };
        lane.seq += 1;
        self.kept.outbox.push(Event { seq: lane.seq, at, kind, about });
        if self.kept.outbox.len() == 1 {
            lane.outbox_since = Some(self.now);
            self.signals.ring_ledger = true;
        }
        self.signals.armed = true;
        self.signals.told += 1;
    }

    fn tell_of_order(&mut self, kind: &'static str, tail: Tail, attempt: Option<u32>) {
        let Some(order) = self.kept.reservations.get(&tail).and_then(|r| r.order.clone()) else { return };
        let attempt = attempt.unwrap_or(order.attempt);
        self.tell(kind, self.now, About::Order { tail, order, attempt });
    }

    pub(crate) fn tell_of_lane(&mut self) {
        let Some(lane) = self.kept.lane.clone() else { return };
        let Lane { switch, total, terms, purge_at, rules, paused_by_rules, .. } = lane;
        // Versions are not told.
        let terms = Terms { version: 0, ..terms };
        let rules = Rules { shop_version: 0, item_version: 0, paused: paused_by_rules, ..rules };
        self.tell("lane.changed", self.now, About::Lane { switch, total, terms, purge_at, rules });
    }

    fn note_change(&mut self, before: String, after: String) {
        let Some(lane) = self.kept.lane.as_mut() else { return };
        // Never the same number twice, even if the lane was lost and rebuilt.
        let number = (lane.last_change.unwrap_or(0) + 1).max(self.now * 1_000);
        lane.last_change = Some(number);
        self.kept.changes.push(Change { number, at: self.now, before, after });
    }

    fn order_mut(&mut self, tail: Tail) -> Option<&mut Order> {
        self.kept.reservations.get_mut(&tail)?.order.as_mut()
    }

    /// The order of `tail`, where `by` may see it.
    fn order_of(&self, tail: Tail, by: Who) -> Option<&Order> {
        self.kept.reservations.get(&tail)?.order.as_ref().filter(|order| order.who == by)
    }

    fn show(&self, tail: Tail) -> String {
        self.kept.reservations.get(&tail).and_then(|r| r.order.as_ref()).map(words::order).unwrap_or_default()
    }

    fn move_order(&mut self, tail: Tail, state: OrderState, kind: &'static str) {
        if let Some(order) = self.order_mut(tail) {
            order.state = state;
        }
        self.tell_of_order(kind, tail, None);
    }

    // What operators do.

    pub fn publish(&mut self, total: i64, terms: &Terms, rules: &Rules) -> String {
        let before = match self.kept.lane.as_ref().map(|lane| lane.switch) {
            Some(Switch::Closed) => return "closed for good".to_owned(),
            Some(switch) => switch.as_str(),
            None => "draft",
        };
        if self.has_newer(terms) {
            return "newer terms hold".to_owned();
        }
        let is_new = self.kept.lane.is_none();
        if is_new {
            self.kept.lane = Some(Lane {
                terms: terms.clone(),
                version: None,
                purge_at: 0,
                rules: Rules { shop_version: 0, item_version: 0, paused: false, ..*rules },
                has_versions: true,
                switch: Switch::Open,
                paused_by_rules: false,
                total,
                admitted: 0,
                drained: 0,
                seq: 0,
                waiting_since: None,
                outbox_since: None,
                units_until: None,
                last_change: None,
            });
        }
        self.set_terms(terms, rules);
        let after = self.kept.lane.as_ref().map_or("draft", |lane| lane.switch.as_str());
        self.note_change(format!("\"{before}\""), format!("\"{after}\""));
        self.tell_of_lane();
        if is_new { "published".to_owned() } else { "revised".to_owned() }
    }

    pub fn revise(&mut self, terms: &Terms, rules: &Rules) -> String {
        match self.kept.lane.as_ref().map(|lane| lane.switch) {
            None => "no such lane".to_owned(),
            Some(Switch::Closed) => "closed for good".to_owned(),
            Some(_) if self.has_newer(terms) => "newer terms hold".to_owned(),
            Some(_) => {
                self.set_terms(terms, rules);
                self.tell_of_lane();
                "revised".to_owned()
            }
        }
    }

    fn has_newer(&self, terms: &Terms) -> bool {
        self.kept.lane.as_ref().is_some_and(|lane| lane.version.unwrap_or(0) > terms.version)
    }

    fn set_terms(&mut self, terms: &Terms, rules: &Rules) {
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.terms = terms.clone();
            lane.version = Some(terms.version);
            lane.purge_at = terms.ends_at + terms.retention_ms;
        }
        self.set_rules(rules);
        // With an earlier end, a paused lane may be over by now.
        if self.is_over_in_pause() {
            self.look_at_queue_again();
        }
        self.signals.armed = true;
    }

    /// Older rules never undo younger ones; says whether these hold now.
    fn set_rules(&mut self, rules: &Rules) -> bool {
        let Some(lane) = self.kept.lane.as_mut() else { return false };
        if rules.shop_version < lane.rules.shop_version || rules.item_version < lane.rules.item_version {
            return false;
        }
        lane.rules = *rules;
        lane.has_versions = true;
        if rules.paused && !lane.paused_by_rules && lane.switch == Switch::Open {
            lane.switch = Switch::Paused;
            lane.paused_by_rules = true;
        } else if !rules.paused && lane.paused_by_rules {
            lane.paused_by_rules = false;
            if lane.switch == Switch::Paused {
                lane.switch = Switch::Open;
                self.look_at_queue_again();
                self.signals.armed = true;
            }
        }
        true
    }

    pub fn rules(&mut self, rules: &Rules) -> String {
        let Some(before) = self.told_of_rules() else { return "no such lane".to_owned() };
        if !self.set_rules(rules) {
            return "younger rules hold".to_owned();
        }
        // Every tick applies the rules again: only what they change is told.
        if self.told_of_rules() != Some(before) {
            self.tell_of_lane();
        }
        "the rules hold".to_owned()
    }

    /// The part of the rules that the order database is told of.
    fn told_of_rules(&self) -> Option<(Switch, Rules)> {
        let lane = self.kept.lane.as_ref()?;
        let rules = Rules { shop_version: 0, item_version: 0, paused: false, ..lane.rules };
        Some((lane.switch, rules))
    }

    /// After a pause, the queue goes on.
    fn look_at_queue_again(&mut self) {
        let Some(lane) = self.kept.lane.as_mut() else { return };
        if !self.kept.queue.is_empty() {
            lane.waiting_since = Some(self.now);
        }
        self.ring_if_somebody_waits();
    }

    pub fn switch(&mut self, wanted: Switch) -> String {
        let Some(lane) = self.kept.lane.as_mut() else { return "no such lane".to_owned() };
        let before = lane.switch;
        if before == Switch::Closed && wanted != Switch::Closed {
            return "closed for good".to_owned();
        }
        // The operator's word for this item stands before the rules'.
        let was_by_rules = std::mem::take(&mut lane.paused_by_rules);
        lane.switch = wanted;
        if before != wanted || was_by_rules {
            self.tell_of_lane();
        }
        if wanted != Switch::Paused {
            self.look_at_queue_again();
        }
        self.signals.armed = true;
        self.note_change(format!("\"{}\"", before.as_str()), format!("\"{}\"", wanted.as_str()));
        format!("was {}", before.as_str())
    }

    /// What a change of the stock under this key is told, where it was made before.
    pub fn answered_before(&self, units: i64, add: bool, key: Option<u8>) -> Option<String> {
        let answer = self.kept.answers.get(&key?).filter(|answer| self.now - answer.at < ANSWERS_KEPT)?;
        let is_same = (answer.units, answer.add) == (units, add);
        Some(if is_same { answer.said.clone() } else { "the key belongs to another request".to_owned() })
    }

    /// Adds `units`, or sets the total to them: never below what is taken.
    pub fn stock(&mut self, units: i64, add: bool, key: Option<u8>) -> String {
        let Some(lane) = self.kept.lane.as_ref() else { return "no such lane".to_owned() };
        let (total, switch) = (lane.total, lane.switch);
        let taken = total - self.available();
        let wanted = if add { total + units } else { units };
        if switch == Switch::Closed || wanted < taken {
            return format!("conflict: {taken} of {total} are taken");
        }
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.total = wanted;
        }
        if wanted != total {
            self.tell_of_lane();
        }
        self.ring_if_somebody_waits();
        self.signals.armed = true;
        self.note_change(total.to_string(), wanted.to_string());
        let said = format!("{wanted} units, {} available", wanted - taken);
        if let Some(key) = key {
            self.kept.answers.insert(key, Answer { at: self.now, units, add, said: said.clone() });
        }
        said
    }

    pub fn describe(&mut self) -> String {
        if self.kept.lane.is_none() {
            return "no such lane".to_owned();
        }
        self.tell("lane.described", self.now, About::Documents);
        "described".to_owned()
    }

    /// The lane's changes reach the shop's log, once each. A process that dies after `scripts` of them leaves the rest.
    pub fn collect_changes(&mut self, die_after: Option<u32>) {
        // Reading takes a command; then each change takes two: into the log, and out of the lane.
        let mut left = die_after.map_or(u32::MAX, |commands| commands.saturating_sub(1));
        while let Some(change) = self.kept.changes.first().cloned() {
            if left == 0 {
                return;
            }
            if self.log_position < change.number {
                self.log_position = change.number;
                self.log.push(change);
            }
            if left == 1 {
                return;
            }
            self.kept.changes.remove(0);
            left -= 2;
        }
    }

    // What shoppers do.

    /// Whether a shopper may have a challenge, which costs a try.
    pub fn ask_challenge(&mut self, who: Who, address: u8) -> String {
        let Some(lane) = self.kept.lane.as_ref() else { return "no such item".to_owned() };
        let said = format!("{} wait for {} units", lane.admitted - lane.drained, lane.total);
        let Some(callers) = self.callers(who, Some(address)) else { return said };
        let wait = self.wait_of(&callers);
        let owed = self.pay_tries(&callers, if wait > 0 { [0, 0] } else { [1, 1] });
        let said = if wait > 0 { format!("too many: wait {wait} ms") } else { said };
        format!("{said}{}", told_allowances(&callers, owed))
    }

    /// Asks for units. A rehearsal says what would become of a right answer, and uses up nothing but a try where that is a
    /// refusal.
    pub fn wish(&mut self, tail: Tail, wish: &Wish) -> String {
        if self.kept.lane.is_none() {
            return "no such item".to_owned();
        }
        let callers = self.callers(wish.who, wish.address);
        let (said, cost) = self.decide(tail, wish, callers.as_ref());
        let Some(callers) = callers else { return said };
        let tokens = match cost {
            Cost::Nothing => [0, 0],
            Cost::Try => [1, 1],
            Cost::WrongSolution => [3, 3],
            // The shopper gets the challenge's token back; the address does not.
            Cost::Admission => [-1, 1],
        };
        let owed = self.pay_tries(&callers, tokens);
        format!("{said}{}", told_allowances(&callers, owed))
    }

    fn decide(&mut self, tail: Tail, wish: &Wish, callers: Option<&[(Caller, u32); 2]>) -> (String, Cost) {
        let Wish { who, quantity, challenge, rehearsal, address, .. } = *wish;
        let limited = address.is_some();
        let Some(lane) = self.kept.lane.clone() else { return (String::new(), Cost::Nothing) };
        let available = self.available();
        // Asking again is the same wish, and costs nothing.
        if let Some(alive) = self.alive(who) {
            let r = &self.kept.reservations[&alive];
            let until = (r.state == ReservationState::Held).then_some(r.deadline);
            let pace = self.pace(self.position(alive), limited);
            return (words::existing(alive, r.state, r.quantity, until, &pace), Cost::Nothing);
        }
        let wait = callers.map_or(0, |callers| self.wait_of(callers));
        if wait > 0 {
            return (format!("too many: wait {wait} ms"), Cost::Nothing);
        }
        let refusal = |words: String| (words, Cost::Try);
        if lane.switch == Switch::Closed || self.now >= lane.terms.ends_at {
            return refusal("ended".to_owned());
        }
        if lane.switch == Switch::Paused {
            return refusal("paused".to_owned());
        }
        if self.now < lane.terms.starts_at {
            return refusal(format!("starts at {}", words::clock(lane.terms.starts_at)));
        }
        let counted = self.counted(who);
        if counted + i64::from(quantity) > i64::from(lane.terms.cap) {
            return refusal(format!("has {counted} of {} already", lane.terms.cap));
        }
        if available < i64::from(quantity) {
            // Where the alarm was lost, units that should be back would stay out for as long as nobody polls.
            self.signals.armed_if_lost = true;
            return refusal(format!("sold out, {available} available"));
        }
        let waiting = self.kept.queue.len() as i64;
        // Nobody overtakes those who wait since the item was in queued mode.
        let queued = !lane.terms.instant || waiting > 0;
        if queued && waiting >= i64::from(lane.rules.queue_factor) * lane.total {
            return refusal("the queue is full".to_owned());
        }
        let mut units_until = lane.units_until;
        if lane.rules.units_per_second > 0 {
            // A bucket with the units of one second, which a larger wish may overdraw when it is full.
            let needed = i64::from(quantity) * 1_000 / i64::from(lane.rules.units_per_second);
            let busy_until = units_until.unwrap_or(0).max(self.now);
            let wait = busy_until + needed - self.now - needed.max(1_000);
            if wait > 0 {
                return refusal(format!("too many: wait {wait} ms"));
            }
            units_until = Some(busy_until + needed);
        }
        let fresh = challenge.is_none_or(|(id, _)| !self.kept.used.contains(&id));
        if rehearsal {
            let said = if fresh { "would be admitted" } else { "challenge failed" };
            return (said.to_owned(), Cost::Nothing);
        }
        if let Some((id, is_right)) = challenge {
            // It is spent, right or wrong.
            self.kept.used.insert(id);
            if !fresh || !is_right {
                return ("challenge failed".to_owned(), Cost::WrongSolution);
            }
        }
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.units_until = units_until;
        }
        let said = if queued {
            self.admit_to_queue(tail, who, quantity, limited)
        } else {
            self.hold(tail, who, quantity)
        };
        (said, Cost::Admission)
    }

    fn admit_to_queue(&mut self, tail: Tail, who: Who, quantity: u32, limited: bool) -> String {
        let Some(lane) = self.kept.lane.as_mut() else { return String::new() };
        lane.admitted += 1;
        if self.kept.queue.is_empty() {
            lane.waiting_since = Some(self.now);
            self.signals.ring_grant = true;
            self.signals.armed = true;
        }
        let number = lane.admitted;
        let state = ReservationState::Queued;
        self.kept.queue.push_back(tail);
        let reservation =
            Reservation { who, quantity, state, number, deadline: 0, unit_price: 0, order: None };
        self.kept.reservations.insert(tail, reservation);
        format!("{} queued, {}", words::reservation(tail), self.pace(self.position(tail), limited))
    }

    fn hold(&mut self, tail: Tail, who: Who, quantity: u32) -> String {
        let Some(lane) = self.kept.lane.as_mut() else { return String::new() };
        lane.admitted += 1;
        lane.drained += 1;
        let (number, deadline, unit_price) = (lane.admitted, self.now + lane.terms.hold_ms, lane.terms.price);
        let state = ReservationState::Held;
        let reservation = Reservation { who, quantity, state, number, deadline, unit_price, order: None };
        self.kept.reservations.insert(tail, reservation);
        self.kept.holders.insert(who);
        self.count("admitted", 1);
        self.count("held", i64::from(quantity));
        self.signals.armed = true;
        format!("{} held until {}", words::reservation(tail), words::clock(deadline))
    }

    /// The callers that a try counts against, with the capacity of their allowances. Nothing if callers are not counted.
    fn callers(&self, who: Who, address: Option<u8>) -> Option<[(Caller, u32); 2]> {
        let rules = &self.kept.lane.as_ref()?.rules;
        let address = address?;
        let limited = rules.tries + rules.address_tries > 0;
        limited
            .then_some([(Caller::Shopper(who), rules.tries), (Caller::Address(address), rules.address_tries)])
    }

    fn wait_of(&self, callers: &[(Caller, u32); 2]) -> i64 {
        let waits = callers
            .iter()
            .map(|(caller, capacity)| allowances::wait(*capacity, self.kept.debts.owed(*caller, self.now)));
        waits.max().unwrap_or(0)
    }

    /// Takes tokens from both callers, or gives them back. Says what each owes then.
    fn pay_tries(&mut self, callers: &[(Caller, u32); 2], tokens: [i64; 2]) -> [i64; 2] {
        let mut owed = [0, 0];
        for (at, ((caller, capacity), tokens)) in callers.iter().zip(tokens).enumerate() {
            owed[at] = self.kept.debts.owed(*caller, self.now);
            // Only one that was charged before gets something back.
            if *capacity > 0 && (tokens > 0 || (tokens < 0 && owed[at] > 0)) {
                owed[at] = self.kept.debts.pay(*caller, *capacity, tokens, self.now);
            }
        }
        owed
    }

    /// Giving back costs three tries, and is never refused.
    fn pay_for_return(&mut self, who: Who) {
        let tries = self.kept.lane.as_ref().map_or(0, |lane| lane.rules.tries);
        if tries > 0 {
            self.kept.debts.pay(Caller::Shopper(who), tries, 3, self.now);
        }
    }

    /// Shows a reservation. Where polls are `limited`, each costs a poll of the shopper's, whatever it finds.
    pub fn poll(&mut self, tail: Tail, by: Who, limited: bool) -> String {
        let capacity = self.kept.lane.as_ref().map_or(0, |lane| lane.rules.polls);
        if !limited || capacity == 0 {
            return self.look_at(tail, by, false);
        }
        let caller = Caller::Polls(by);
        let wait = allowances::wait(capacity, self.kept.debts.owed(caller, self.now));
        let said = if wait > 0 {
            format!("too many: wait {wait} ms")
        } else {
            self.kept.debts.pay(caller, capacity, 1, self.now);
            self.look_at(tail, by, true)
        };
        let owed = self.kept.debts.owed(caller, self.now);
        format!("{said}; {}", allowances::words(capacity, owed))
    }

    fn look_at(&mut self, tail: Tail, by: Who, limited: bool) -> String {
        let Some(r) = self.kept.reservations.get(&tail).filter(|r| r.who == by).cloned() else {
            return "no such reservation".to_owned();
        };
        let until = (r.state == ReservationState::Held).then_some(r.deadline);
        let deadlines_overdue = !self.overdue().is_empty();
        let position = self.position(tail);
        let pace = self.pace(position, limited);
        let (rests, is_over_in_pause) = (self.queue_rests(), self.is_over_in_pause());
        let Some(lane) = self.kept.lane.as_mut() else { return "unavailable".to_owned() };
        // A pause stops the clock. The first poll after the end gets the work.
        let waiting_since = if is_over_in_pause && r.state == ReservationState::Queued {
            lane.waiting_since.or(Some(0))
        } else {
            lane.waiting_since
        };
        // One who finds the queue waiting does the work, and the others leave it to them.
        let queue_overdue = !rests && waiting_since.is_some_and(|since| self.now - since >= POLL_PATIENCE);
        if queue_overdue {
            lane.waiting_since = Some(self.now);
        }
        words::polled(r.state, r.quantity, until, queue_overdue, deadlines_overdue, &pace)
    }

    pub fn release(&mut self, tail: Tail, by: Who) -> String {
        let Some(r) = self.kept.reservations.get_mut(&tail).filter(|r| r.who == by) else {
            return "no such reservation".to_owned();
        };
        let (state, quantity) = (r.state, i64::from(r.quantity));
        match state {
            ReservationState::Released => return "released".to_owned(),
            ReservationState::Queued | ReservationState::Held => {}
            other => return format!("conflict: {}", other.as_str()),
        }
        r.state = ReservationState::Released;
        self.note_ended(tail);
        self.forget_ended(3);
        if state == ReservationState::Held {
            self.ring_if_somebody_waits();
        }
        self.count("released", quantity);
        self.pay_for_return(by);
        self.signals.armed = true;
        "released".to_owned()
    }

    pub fn checkout(&mut self, tail: Tail, by: Who, words: usize) -> String {
        let now = self.now;
        let Some(r) = self.kept.reservations.get_mut(&tail).filter(|r| r.who == by) else {
            return "no such reservation".to_owned();
        };
        let Some(lane) = self.kept.lane.as_ref() else { return "unavailable".to_owned() };
        let (unit_price, pay_by) = (r.unit_price, now + lane.terms.pay_ms);
        match r.state {
            ReservationState::Ordered => return format!("ordered before: {}", self.show(tail)),
            ReservationState::Expired => return "the hold expired".to_owned(),
            ReservationState::Held if now >= r.deadline => return "the hold expired".to_owned(),
            ReservationState::Held => {}
            other => return format!("conflict: {}", other.as_str()),
        }
        r.state = ReservationState::Ordered;
        let quantity = r.quantity;
        r.order = Some(Order {
            who: by,
            quantity,
            state: OrderState::Unpaid,
            unit_price,
            created: now,
            pay_by,
            paid_at: None,
            attempt: 0,
            attempts: 0,
            payment: None,
            surplus: BTreeMap::new(),
            words: Some(words),
        });
        self.tell_of_order("order.created", tail, None);
        self.count("ordered", i64::from(quantity));
        format!("ordered: {}", self.show(tail))
    }

    /// An operator erases what the shopper wrote. Something may know an order that neither Redis nor the order database has:
    /// what the shopper wrote was recorded, and the order was lost before its event was.
    pub fn erase(&mut self, tail: Tail, is_known: bool) -> String {
        let is_recorded = self.recorded().contains_key(&tail);
        let order = self.kept.reservations.get_mut(&tail).and_then(|r| r.order.as_mut());
        if order.is_none() && !is_recorded && !is_known {
            return "no such order".to_owned();
        }
        if let Some(order) = order {
            order.words = None;
        }
        self.erased.insert(tail);
        "erased".to_owned()
    }

    /// Opens a payment, unless one is pending that is not to be replaced. The order opens `most` payments.
    pub fn pay(&mut self, tail: Tail, by: Who, replace: bool, most: u32) -> String {
        let now = self.now;
        let Some(order) = self.order_of(tail, by) else { return "no such order".to_owned() };
        if order.state != OrderState::Unpaid {
            return format!("conflict: {}", order.state.as_str());
        }
        if now >= order.pay_by {
            return "conflict: timed_out".to_owned();
        }
        if order.payment == Some(Payment::Pending) && !replace {
            return format!("pending: {}", self.show(tail));
        }
        if order.attempts >= most {
            return "too many payments".to_owned();
        }
        if let Some(order) = self.order_mut(tail) {
            order.attempts += 1;
            order.attempt = order.attempts;
            order.payment = Some(Payment::Pending);
        }
        self.tell_of_order("payment.created", tail, None);
        format!("opened: {}", self.show(tail))
    }

    pub fn cancel(&mut self, tail: Tail, by: Who) -> String {
        let Some(order) = self.order_of(tail, by) else { return "no such order".to_owned() };
        let quantity = i64::from(order.quantity);
        match order.state {
            OrderState::Cancelled => {}
            OrderState::Unpaid => {
                self.move_order(tail, OrderState::Cancelled, "order.cancelled");
                self.count("cancelled", quantity);
                self.pay_for_return(by);
                self.ring_if_somebody_waits();
            }
            other => return format!("conflict: {}", other.as_str()),
        }
        format!("cancelled: {}", self.show(tail))
    }

    /// Whether a "sold out" mark that is made now lets `who` go on to Redis. It is made once all is taken and nobody waits.
    pub fn mark(&self, who: Who) -> String {
        let sold_out = self.kept.lane.is_some() && self.available() == 0 && self.kept.queue.is_empty();
        if !sold_out {
            "no mark".to_owned()
        } else if self.kept.holders.contains(&who) {
            "goes on".to_owned()
        } else {
            "is refused".to_owned()
        }
    }

    // What the provider says, and what goes back.

    pub fn settle(&mut self, tail: Tail, attempt: u32, succeeded: bool, amount: i64) -> String {
        let now = self.now;
        let Some(order) = self.kept.reservations.get(&tail).and_then(|r| r.order.clone()) else {
            return "no such payment".to_owned();
        };
        let due = order.unit_price * i64::from(order.quantity);
        if attempt < 1 || attempt > order.attempts {
            return "no such payment".to_owned();
        }
        if amount != due {
            return format!("wrong amount, {due} are due");
        }
        let is_the_one = attempt == order.attempt;
        if !succeeded {
            if !is_the_one || order.payment != Some(Payment::Pending) {
                return format!("known: {}", self.show(tail));
            }
            if let Some(order) = self.order_mut(tail) {
                order.payment = Some(Payment::Failed);
            }
            self.tell_of_order("payment.failed", tail, None);
            return format!("settled: {}", self.show(tail));
        }
        if matches!(order.state, OrderState::Paid | OrderState::RefundDue | OrderState::Refunded) {
            // Money came before. Money of another payment goes back.
            if is_the_one || order.surplus.contains_key(&attempt) {
                return format!("known: {}", self.show(tail));
            }
            if let Some(order) = self.order_mut(tail) {
                order.surplus.insert(attempt, false);
            }
            self.tell_of_order("payment.refund_due", tail, Some(attempt));
            self.count("refund_due", i64::from(order.quantity));
            return format!("settled: {}", self.show(tail));
        }
        if order.state == OrderState::Unpaid && now >= order.pay_by {
            self.time_out(tail, attempt);
            self.count("timed_out", i64::from(order.quantity));
            self.ring_if_somebody_waits();
        }
        let Some(order) = self.order_mut(tail) else { return String::new() };
        order.attempt = attempt;
        order.payment = Some(Payment::Succeeded);
        order.paid_at = Some(now);
        let quantity = i64::from(order.quantity);
        if order.state == OrderState::Unpaid {
            self.move_order(tail, OrderState::Paid, "order.paid");
            self.count("paid", quantity);
        } else {
            self.move_order(tail, OrderState::RefundDue, "order.refund_due");
            self.count("refund_due", quantity);
        }
        format!("settled: {}", self.show(tail))
    }

    /// The order's units return to stock; `attempt` is the payment that its event names.
    fn time_out(&mut self, tail: Tail, attempt: u32) {
        let Some(order) = self.order_mut(tail) else { return };
        order.state = OrderState::TimedOut;
        let told = Order { attempt, ..order.clone() };
        self.tell("order.timed_out", self.now, About::Order { tail, order: told, attempt });
    }

    /// The operator sent money back: of the order with `attempt` 0, else of that payment.
    pub fn refund(&mut self, tail: Tail, attempt: u32) -> String {
        let Some(order) = self.kept.reservations.get(&tail).and_then(|r| r.order.clone()) else {
            return "no such payment".to_owned();
        };
        if attempt > order.attempts {
            return "no such payment".to_owned();
        }
        if attempt == 0 || attempt == order.attempt {
            match order.state {
                OrderState::Refunded => {}
                OrderState::RefundDue => self.move_order(tail, OrderState::Refunded, "order.refunded"),
                other => return format!("conflict: {}", other.as_str()),
            }
            return format!("refunded: {}", self.show(tail));
        }
        match order.surplus.get(&attempt) {
            None => return format!("conflict: {}", order.state.as_str()),
            Some(true) => {}
            Some(false) => {
                if let Some(order) = self.order_mut(tail) {
                    order.surplus.insert(attempt, true);
                }
                self.tell_of_order("payment.refunded", tail, Some(attempt));
            }
        }
        format!("refunded: {}", self.show(tail))
    }

    // What the functions do behind the scenes.

    /// Decides up to `most` places of the queue, in order.
    pub fn grant(&mut self, most: u32) -> Result<Drained, &'static str> {
        let (now, rests, is_over_in_pause) = (self.now, self.queue_rests(), self.is_over_in_pause());
        let Some(lane) = self.kept.lane.as_mut() else { return Err("no such lane") };
        if rests {
            lane.waiting_since = None;
            return Err("paused");
        }
        let is_over = lane.switch == Switch::Closed || is_over_in_pause;
        let (hold_ms, price) = (lane.terms.hold_ms, lane.terms.price);
        let mut drained = Drained::default();
        let mut lost = Vec::new();
        let mut served = 0;
        let mut units = [0; 3];
        while served < i64::from(most) {
            let Some(tail) = self.kept.queue.pop_front() else { break };
            served += 1;
            let available = self.available();
            let Some(r) = self.kept.reservations.get_mut(&tail) else { continue };
            if r.state != ReservationState::Queued {
                continue;
            }
            let quantity = i64::from(r.quantity);
            if is_over {
                r.state = ReservationState::Rejected;
                drained.rejected += 1;
                lost.push(tail);
                units[2] += 1;
            } else if available >= quantity {
                r.state = ReservationState::Held;
                r.deadline = now + hold_ms;
                r.unit_price = price;
                drained.held += 1;
                self.kept.holders.insert(r.who);
                units[0] += quantity;
            } else {
                r.state = ReservationState::SoldOut;
                drained.sold_out += 1;
                lost.push(tail);
                units[1] += 1;
            }
        }
        for tail in &lost {
            self.note_ended(*tail);
        }
        if served > 0 {
            self.forget_ended(2 * lost.len() + 1);
        }
        drained.waiting = self.kept.queue.len() as u64;
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.drained += served;
            lane.waiting_since = (drained.waiting > 0).then_some(now);
        }
        self.signals.armed |= served > 0;
        self.count("admitted", served);
        self.count("held", units[0]);
        self.count("sold_out", units[1]);
        self.count("rejected", units[2]);
        Ok(drained)
    }

    /// Returns up to `most` units of time: holds and unpaid orders. Answers holds, orders, and how many are left.
    pub fn lapse(&mut self, most: u32) -> Option<(u64, u64, u64)> {
        self.kept.lane.as_ref()?;
        let overdue = self.overdue();
        let (mut holds, mut orders, mut held_units, mut ordered_units) = (0, 0, 0, 0);
        let mut lapsed = Vec::new();
        for tail in overdue.iter().copied().take(most as usize) {
            let Some(r) = self.kept.reservations.get_mut(&tail) else { continue };
            let quantity = i64::from(r.quantity);
            if r.state == ReservationState::Held {
                r.state = ReservationState::Expired;
                lapsed.push(tail);
                holds += 1;
                held_units += quantity;
            } else {
                let attempt = r.order.as_ref().map_or(0, |order| order.attempt);
                self.time_out(tail, attempt);
                orders += 1;
                ordered_units += quantity;
            }
        }
        for tail in &lapsed {
            self.note_ended(*tail);
        }
        self.forget_ended(2 * lapsed.len() + 500);
        self.count("expired", held_units);
        self.count("timed_out", ordered_units);
        let now = self.now;
        let waits = !self.kept.queue.is_empty() && !self.queue_rests();
        let tells = !self.kept.outbox.is_empty();
        if let Some(lane) = self.kept.lane.as_mut() {
            self.signals.ring_grant |= waits;
            lane.waiting_since = waits.then_some(now);
            self.signals.ring_ledger |= tells;
            lane.outbox_since = tells.then_some(now);
        }
        self.signals.armed = true;
        Some((holds, orders, (overdue.len() as u64).saturating_sub(u64::from(most))))
    }

    pub fn purge_is_due(&self) -> bool {
        self.kept.lane.as_ref().is_some_and(|lane| self.now >= lane.purge_at)
    }

    /// Takes the lane out of Redis, a set time after its end, once all is settled and copied.
    pub fn purge(&mut self) -> String {
        let Some(lane) = self.kept.lane.as_ref() else { return "purged".to_owned() };
        if self.now < lane.purge_at {
            return format!("not before {}", words::clock(lane.purge_at));
        }
        let something_lapses = self.kept.reservations.values().any(|r| r.lapses_at().is_some());
        if !self.kept.queue.is_empty()
            || something_lapses
            || !self.kept.outbox.is_empty()
            || !self.kept.changes.is_empty()
            || self.refunds_due() > 0
        {
            self.signals.armed = true;
            return "unsettled".to_owned();
        }
        // Redis expires the records of callers and challenges by itself.
        let (used, debts) = (std::mem::take(&mut self.kept.used), std::mem::take(&mut self.kept.debts));
        self.kept = Kept { used, debts, ..Kept::default() };
        self.purged = true;
        "purged".to_owned()
    }

    /// Copies up to `most` events into the order database, which takes each once and in order. Says how many it took, how
    /// many it had, how many wait, whether one contradicts what was written, and how many are left in the outbox.
    pub fn copy(&mut self, most: u32, database_gone: bool, dies_before_acknowledging: bool) -> String {
        let entries: Vec<Event> = self.kept.outbox.iter().take(most as usize).cloned().collect();
        if entries.is_empty() {
            return words::copied(0, 0, 0, false, 0);
        }
        if database_gone {
            return "failed".to_owned();
        }
        let (mut applied, mut repeated, mut waiting, mut contradicts) = (0, 0, 0, false);
        for (at, event) in entries.iter().enumerate() {
            let written = self.written.len() as i64;
            if event.seq == written + 1 {
                self.written.push(event.clone());
                applied += 1;
            } else if usize::try_from(event.seq - 1).ok().and_then(|at| self.written.get(at)) == Some(event) {
                repeated += 1;
            } else {
                contradicts = event.seq <= written;
                waiting = entries.len() - at;
                break;
            }
        }
        if dies_before_acknowledging {
            return "failed".to_owned();
        }
        self.acknowledge(applied + repeated);
        words::copied(applied, repeated, waiting, contradicts, self.kept.outbox.len())
    }

    /// The oldest `count` events leave the outbox.
    fn acknowledge(&mut self, count: usize) {
        self.kept.outbox.drain(..count);
        let left = !self.kept.outbox.is_empty();
        if let Some(lane) = self.kept.lane.as_mut() {
            lane.outbox_since = left.then_some(self.now);
        }
    }
}

fn told_allowances(callers: &[(Caller, u32); 2], owed: [i64; 2]) -> String {
    let words =
        |((_, capacity), owed): (&(Caller, u32), i64)| format!("; {}", allowances::words(*capacity, owed));
    callers.iter().zip(owed).map(words).collect()
}

impl Default for Model {
    fn default() -> Self {
        Model::new()
    }
}
