//! The engine's side of each step: every call into `sale` and `ledger` is in this file, and answers in words.

use order_ledger::rebuild::Rebuilt;
use order_ledger::{CopyError, Sql};
use provider_simulation::{Choice, Chosen, Delivery, ProviderPayment, SimulatedProvider, Standing};
use sale::Engine;
use sale::allowance::{Allowance, CALLERS_SECONDS, Counted};
use sale::catalogue::{Documents, Item, Sale};
use sale::change::{Change, IdempotencyKey};
use sale::ids::{Lane, OrderId, PaymentId, ReservationId, UserId};
use sale::item::{Mode, Switch, Terms};
use sale::money::{Currency, Money};
use sale::reservation::Pace;
use sale::rules::{LaneRules, VersionedRules};
use sale::scripts::{
    Applied, Cancelled, ChallengeCount, ChallengeUse, CheckedOut, Contact, EngineError, Granted, Holders,
    Lapsed, OrderView, PaymentOpened, PaymentOutcome, PaymentState, Polled, Published, Purged, Refunded,
    Released, Reserved, Settled, StockChange, Stocked, Switched, Wish,
};
use sale::store::RedisError;
use sale::time::Timestamp;
use sale::work;
use std::time::Duration;

use crate::database::Database;
use crate::model::{self, BEGIN, Moment, Payment, Tail, Who};
use crate::provider;
use crate::redis::{Client, now};
use crate::steps::{ADDRESSES, SHOPPERS, WORDS};
use crate::words;

/// The engine at a moment, on one lane.
pub struct Real<'a> {
    pub redis: &'a Client,
    pub sql: &'a Database,
    pub lane: &'a Lane,
    pub now: Moment,
}

/// What a step says that could not be taken: the lane is away, or the process died.
pub const UNAVAILABLE: &str = "unavailable";

impl Real<'_> {
    fn engine(&self) -> Engine<&Client> {
        self.redis.set_clock(self.now);
        Engine::at(self.redis, at(self.now))
    }

    /// The engine in the hands of an operator.
    fn operator(&self) -> Engine<&Client> {
        self.engine().making(&Change {
            operator: "olga".to_owned(),
            token: "0123abcd".to_owned(),
            action: "item.change".to_owned(),
            target: format!("item/{}", self.lane.item),
            request_id: "r".to_owned(),
            reason: None,
        })
    }

    fn reservation(&self, tail: Tail) -> ReservationId {
        ReservationId::new(self.lane.clone(), tail_of(tail))
    }

    fn order(&self, tail: Tail) -> OrderId {
        self.reservation(tail).order()
    }

    pub fn publish(&self, total: i64, terms: &model::Terms, rules: &model::Rules) -> String {
        said(now(self.operator().publish(self.lane, total, &terms_of(terms, rules))), published)
    }

    pub fn revise(&self, terms: &model::Terms, rules: &model::Rules) -> String {
        said(now(self.operator().revise(self.lane, &terms_of(terms, rules))), published)
    }

    pub fn rules(&self, rules: &model::Rules) -> String {
        said(now(self.operator().apply_rules(self.lane, &rules_of(rules))), |applied| match applied {
            Applied::Done => "the rules hold".to_owned(),
            Applied::Newer => "younger rules hold".to_owned(),
            Applied::NotFound => "no such lane".to_owned(),
        })
    }

    pub fn switch(&self, wanted: Switch) -> String {
        said(now(self.operator().switch(self.lane, wanted)), |switched| match switched {
            Switched::Done { before } => format!("was {}", before.as_str()),
            Switched::Closed => "closed for good".to_owned(),
            Switched::NotFound => "no such lane".to_owned(),
        })
    }

    pub fn stock(&self, units: i64, add: bool, key: Option<u8>) -> String {
        let body = format!("{units} {add}");
        let key =
            key.map(|key| IdempotencyKey::new("olga", &format!("key-{key}"), "/stock", body.as_bytes()));
        let change = if add { StockChange::Add(units) } else { StockChange::Total(units) };
        said(now(self.operator().once(key).stock(self.lane, change)), |stocked| match stocked {
            Stocked::Done { total, available } => format!("{total} units, {available} available"),
            Stocked::Conflict { taken, total } => format!("conflict: {taken} of {total} are taken"),
            Stocked::KeyReused => "the key belongs to another request".to_owned(),
            Stocked::NotFound => "no such lane".to_owned(),
        })
    }

    pub fn describe(&self) -> String {
        said(now(self.operator().describe(self.lane, &documents(self.lane))), |described| {
            if described { "described" } else { "no such lane" }.to_owned()
        })
    }

    pub fn ask_challenge(&self, who: Who, address: u8) -> String {
        let counted =
            now(self.engine().count_challenge(self.lane, &user(who), ADDRESSES[usize::from(address)]));
        said(counted, |counted| {
            let allowances = allowed(&counted.allowances);
            match counted.outcome {
                ChallengeCount::Counted { waiting, total } => {
                    format!("{waiting} wait for {total} units{allowances}")
                }
                ChallengeCount::RateLimited { retry_after_ms } => {
                    format!("too many: wait {retry_after_ms} ms{allowances}")
                }
                ChallengeCount::NotFound => "no such item".to_owned(),
            }
        })
    }

    pub fn wish(&self, tail: Tail, wish: &model::Wish) -> String {
        let user = user(wish.who);
        let rehearsal = wish.rehearsal;
        let wish = Wish {
            user: &user,
            quantity: wish.quantity,
            tail: tail_of(tail),
            challenge: wish.challenge.map(|(id, answered)| ChallengeUse {
                id: format!("challenge-{id}"),
                expires_at: at(BEGIN + 120_000),
                answered,
            }),
            address: wish.address.map(|address| ADDRESSES[usize::from(address)]),
        };
        let engine = self.engine();
        let outcome = if rehearsal {
            now(engine.rehearse(self.lane, &wish))
        } else {
            now(engine.reserve(self.lane, &wish))
                .map(|counted| Counted { outcome: Some(counted.outcome), allowances: counted.allowances })
        };
        said(outcome, |counted| {
            let allowances = allowed(&counted.allowances);
            format!("{}{allowances}", reserved(counted.outcome))
        })
    }

    pub fn poll(&self, tail: Tail, by: Who, limited: bool) -> String {
        let polled = now(self.engine().poll(&self.reservation(tail), &user(by), limited));
        said(polled, |counted| {
            let allowances = allowed(&counted.allowances);
            let words = match counted.outcome {
                Polled::Found(view) => words::polled(
                    view.state,
                    view.quantity,
                    view.deadline.map(Timestamp::millis),
                    view.overdue.queue,
                    view.overdue.deadlines,
                    &paced(&view.pace),
                ),
                Polled::NotFound => "no such reservation".to_owned(),
                Polled::RateLimited { retry_after_ms } => format!("too many: wait {retry_after_ms} ms"),
            };
            format!("{words}{allowances}")
        })
    }

    pub fn release(&self, tail: Tail, by: Who) -> String {
        said(now(self.engine().release(&self.reservation(tail), &user(by))), |released| match released {
            Released::Done => "released".to_owned(),
            Released::Conflict(state) => format!("conflict: {}", state.as_str()),
            Released::NotFound => "no such reservation".to_owned(),
        })
    }

    pub fn checkout(&self, tail: Tail, by: Who, words: usize) -> String {
        let checked_out = now(self.engine().checkout(&self.reservation(tail), &user(by), &contact(words)));
        said(checked_out, |checked_out| match checked_out {
            CheckedOut::Made(order) => format!("ordered: {}", shown(&order)),
            CheckedOut::Existing(order) => format!("ordered before: {}", shown(&order)),
            CheckedOut::HoldExpired => "the hold expired".to_owned(),
            CheckedOut::Conflict(state) => format!("conflict: {}", state.as_str()),
            CheckedOut::NotFound => "no such reservation".to_owned(),
        })
    }

    pub fn pay(&self, tail: Tail, by: Who, replace: bool) -> String {
        let (engine, order, user) = (self.engine(), self.order(tail), user(by));
        let opened =
            if replace { now(engine.replace_payment(&order, &user)) } else { now(engine.pay(&order, &user)) };
        said(opened, |opened| match opened {
            PaymentOpened::New(order) => format!("opened: {}", shown(&order)),
            PaymentOpened::Pending(order) => format!("pending: {}", shown(&order)),
            PaymentOpened::Conflict(state) => format!("conflict: {}", state.as_str()),
            PaymentOpened::TooMany => "too many payments".to_owned(),
            PaymentOpened::NotFound => "no such order".to_owned(),
        })
    }

    pub fn cancel(&self, tail: Tail, by: Who) -> String {
        said(now(self.engine().cancel(&self.order(tail), &user(by))), |cancelled| match cancelled {
            Cancelled::Done(order) => format!("cancelled: {}", shown(&order)),
            Cancelled::Conflict(state) => format!("conflict: {}", state.as_str()),
            Cancelled::NotFound => "no such order".to_owned(),
        })
    }

    /// Also says whether anybody knew the order.
    pub fn erase(&self, tail: Tail) -> (String, bool) {
        match now(order_ledger::personal_data::erase_order(&self.engine(), self.sql, &self.order(tail))) {
            Ok(true) => ("erased".to_owned(), true),
            Ok(false) => ("no such order".to_owned(), false),
            Err(error) => (error.to_string(), false),
        }
    }

    pub fn settle(&self, tail: Tail, attempt: u32, succeeded: bool, amount: i64) -> String {
        let payment = PaymentId { order: self.order(tail), attempt };
        let outcome = if succeeded { PaymentOutcome::Succeeded } else { PaymentOutcome::Failed };
        said(now(self.engine().settle(&payment, outcome, amount)), |settled| match settled {
            Settled::Moved(order) => format!("settled: {}", shown(&order)),
            Settled::Repeated(order) => format!("known: {}", shown(&order)),
            Settled::WrongAmount { due } => format!("wrong amount, {due} are due"),
            Settled::NotFound => "no such payment".to_owned(),
        })
    }

    pub fn refund(&self, tail: Tail, attempt: u32) -> String {
        let engine = self.engine();
        let order = self.order(tail);
        let refunded = if attempt == 0 {
            now(engine.refund(&order))
        } else {
            now(engine.refund_payment(&PaymentId { order, attempt }))
        };
        said(refunded, |refunded| match refunded {
            Refunded::Done(order) => format!("refunded: {}", shown(&order)),
            Refunded::Conflict(state) => format!("conflict: {}", state.as_str()),
            Refunded::NotFound => "no such payment".to_owned(),
        })
    }

    fn provider(&self) -> SimulatedProvider<&Client> {
        SimulatedProvider::new(self.engine())
    }

    fn payment(&self, (tail, attempt): provider::Id) -> PaymentId {
        PaymentId { order: self.order(tail), attempt }
    }

    pub fn register(&self, id: provider::Id, pay_by: Moment) -> String {
        let amount = Money::new(9_900, currency());
        let registered = now(self.provider().register_payment(&self.payment(id), &amount, at(pay_by)));
        said(registered, |()| "registered".to_owned())
    }

    pub fn choose(&self, id: provider::Id, choice: provider::Choice) -> String {
        let choice = match choice {
            provider::Choice::Succeeded => Choice::Succeeded,
            provider::Choice::Failed => Choice::Failed,
            provider::Choice::Late => Choice::Late,
        };
        said(now(self.provider().choose_outcome(&self.payment(id), choice, "evt")), |chosen| match chosen {
            Chosen::Done(payment) => format!("chosen: {}", at_provider(&payment)),
            Chosen::Known(payment) => format!("known: {}", at_provider(&payment)),
            Chosen::NotFound => "no such payment".to_owned(),
        })
    }

    /// Answers also what was claimed, to tell what became of it.
    pub fn claim(&self, wanted: Option<provider::Id>) -> (String, Option<ProviderPayment>) {
        let wanted = wanted.map(|id| self.payment(id));
        match now(self.provider().claim_delivery(wanted.as_ref())) {
            Ok(Some((payment, _))) => {
                let (tail, attempt) = (number_of(payment.id.order.tail.as_str()), payment.id.attempt);
                (format!("claimed #{tail}-{attempt}: {}", at_provider(&payment)), Some(payment))
            }
            Ok(None) => ("nothing".to_owned(), None),
            Err(error) => (error.to_string(), None),
        }
    }

    pub fn report(&self, claimed: &ProviderPayment, delivery: provider::Delivery) -> String {
        let delivery = match delivery {
            provider::Delivery::Delivered => Delivery::Delivered { status: 200 },
            provider::Delivery::Refused => Delivery::Refused { status: 422, slug: "invalid".to_owned() },
            provider::Delivery::Failed => Delivery::Failed { status: None },
        };
        said(now(self.provider().report_delivery(claimed, &delivery)), |payment| {
            payment.as_ref().map_or("no such payment".to_owned(), at_provider)
        })
    }

    pub fn remind(&self) -> String {
        said(now(self.provider().deliveries_due()), |due| {
            if due { "webhooks are due" } else { "nothing is due" }.to_owned()
        })
    }

    pub fn mark(&self, who: Who) -> String {
        said(now(self.engine().show_holders(self.lane, &user(who))), |holders| {
            match holders {
                Holders::Available => "no mark",
                Holders::SoldOut(part) if part.may_contain(&user(who)) => "goes on",
                Holders::SoldOut(_) => "is refused",
            }
            .to_owned()
        })
    }

    pub fn grant(&self, most: u32) -> String {
        said(now(self.engine().grant(self.lane, most)), |granted| match granted {
            Granted::Drained { held, sold_out, rejected, waiting, .. } => {
                words::drained(held, sold_out, rejected, waiting)
            }
            Granted::Paused => "paused".to_owned(),
            Granted::NotFound => "no such lane".to_owned(),
        })
    }

    pub fn lapse(&self, most: u32) -> String {
        said(now(self.engine().lapse(self.lane, most)), |lapsed| match lapsed {
            None => "no such lane".to_owned(),
            Some(Lapsed { holds, orders, overdue, waiting, purge_due }) => {
                words::lapsed(holds, orders, overdue, waiting, purge_due)
            }
        })
    }

    pub fn purge(&self) -> String {
        said(now(self.engine().purge(self.lane)), |purged| match purged {
            Purged::Done => "purged".to_owned(),
            Purged::Early { purge_at } => format!("not before {}", words::clock(purge_at.millis())),
            Purged::Unsettled => "unsettled".to_owned(),
        })
    }

    pub fn alarm(&self, dies: Option<u32>) -> String {
        // No lane of a walk has so much to do. A script that leaves what it ended would keep it busy for ever.
        self.redis.die_after(dies.or(Some(10_000)));
        let done = now(work::lapse(&self.engine(), self.lane));
        self.redis.die_after(None);
        said(done, |_| "done".to_owned())
    }

    pub fn collect(&self, dies: Option<u32>) -> String {
        self.redis.die_after(dies);
        let done = now(self.engine().collect_changes(self.lane));
        self.redis.die_after(None);
        said(done, |_| "done".to_owned())
    }

    pub fn copy(&self, most: u32, database_gone: bool, dies_before_acknowledging: bool) -> String {
        self.sql.set_gone(database_gone);
        self.redis.die_after(dies_before_acknowledging.then_some(1));
        let copied = now(order_ledger::copy(&self.engine(), self.sql, self.lane, most));
        self.redis.die_after(None);
        self.sql.set_gone(false);
        match copied {
            Ok(copied) => {
                let events = copied.events;
                let words = words::copied(
                    events.applied,
                    events.repeated,
                    events.waiting,
                    events.contradicts,
                    copied.left as usize,
                );
                if events.set_aside > 0 { format!("{words}, {} set aside", events.set_aside) } else { words }
            }
            Err(CopyError::Sql(_) | CopyError::Engine(EngineError::Redis(_))) => "failed".to_owned(),
            Err(other) => other.to_string(),
        }
    }
}

/// What an outcome says; a refusal by the server or its absence is a matter of course where the lane is away.
fn said<T>(outcome: Result<T, EngineError>, words: impl FnOnce(T) -> String) -> String {
    match outcome {
        Ok(outcome) => words(outcome),
        Err(EngineError::Redis(_)) => UNAVAILABLE.to_owned(),
        Err(other) => other.to_string(),
    }
}

fn published(published: Published) -> String {
    match published {
        Published::New => "published",
        Published::Revised => "revised",
        Published::Closed => "closed for good",
        Published::Older => "newer terms hold",
        Published::NotFound => "no such lane",
    }
    .to_owned()
}

fn reserved(outcome: Option<Reserved>) -> String {
    match outcome {
        None => "would be admitted".to_owned(),
        Some(Reserved::Queued { id, pace }) => format!("{} queued, {}", named(&id), paced(&pace)),
        Some(Reserved::Held { id, deadline }) => {
            format!("{} held until {}", named(&id), words::clock(deadline.millis()))
        }
        Some(Reserved::Existing { id, state, quantity, deadline, pace }) => {
            let until = deadline.map(Timestamp::millis);
            words::existing(number_of(id.tail.as_str()), state, quantity, until, &paced(&pace))
        }
        Some(Reserved::NotFound) => "no such item".to_owned(),
        Some(Reserved::NotStarted { starts_at }) => format!("starts at {}", words::clock(starts_at.millis())),
        Some(Reserved::Ended) => "ended".to_owned(),
        Some(Reserved::Paused) => "paused".to_owned(),
        Some(Reserved::SoldOut { available }) => format!("sold out, {available} available"),
        Some(Reserved::PurchaseLimit { limit, taken }) => format!("has {taken} of {limit} already"),
        Some(Reserved::QueueFull) => "the queue is full".to_owned(),
        Some(Reserved::RateLimited { retry_after_ms }) => format!("too many: wait {retry_after_ms} ms"),
        Some(Reserved::ChallengeFailed) => "challenge failed".to_owned(),
    }
}

/// What callers are told of their allowances, as the model tells it.
fn allowed(allowances: &[Allowance]) -> String {
    let words = |allowance: &Allowance| {
        let (left, next) = (allowance.left(), allowance.next_ms(CALLERS_SECONDS));
        format!("; {left} of {} left, one more in {next} ms", allowance.capacity)
    };
    allowances.iter().map(words).collect()
}

fn paced(pace: &Pace) -> String {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let polls = [pace.polls_per_second, pace.polls_per_ten_seconds];
    words::pace(number(pace.position), number(pace.waiting), polls, number(pace.hold_ms))
}

fn at_provider(payment: &ProviderPayment) -> String {
    let standing = match payment.standing {
        Standing::Open => "open",
        Standing::Due => "due",
        Standing::Delivered => "delivered",
        Standing::Refused => "refused",
        Standing::GivenUp => "given_up",
    };
    let choice = payment.choice.map(|choice| match choice {
        Choice::Succeeded => provider::Choice::Succeeded,
        Choice::Failed => provider::Choice::Failed,
        Choice::Late => provider::Choice::Late,
    });
    let (pay_by, tries) = (payment.pay_by.millis(), payment.tries);
    words::provider_payment(&provider::Payment { standing, pay_by, choice, tries })
}

fn named(id: &ReservationId) -> String {
    words::reservation(number_of(id.tail.as_str()))
}

fn shown(order: &OrderView) -> String {
    let payment = order.payment.as_ref().map(|(id, state)| {
        let state = match state {
            PaymentState::Pending => Payment::Pending,
            PaymentState::Succeeded => Payment::Succeeded,
            PaymentState::Failed => Payment::Failed,
        };
        (id.attempt, state)
    });
    let mut surplus: Vec<_> = order.surplus.iter().map(|one| (one.payment.attempt, one.refunded)).collect();
    surplus.sort_unstable();
    words::shown_order(
        order.state,
        order.quantity,
        order.unit_price.amount,
        [order.created_at.millis(), order.pay_by.millis()],
        order.paid_at.map(Timestamp::millis),
        payment,
        &surplus,
    )
}

/// How a reservation's number is spelled in its id.
pub fn spell(tail: Tail) -> String {
    format!("{tail:012}")
}

/// The number that [`spell`] spelled; 0 for what no step made.
pub fn number_of(text: &str) -> Tail {
    text.parse().unwrap_or(0)
}

fn tail_of(tail: Tail) -> sale::ids::Tail {
    spell(tail).parse().unwrap_or_else(|_| unreachable!("twelve digits are a tail"))
}

fn user(who: Who) -> UserId {
    SHOPPERS[usize::from(who)].parse().unwrap_or_else(|_| unreachable!("every shopper's name is an id"))
}

pub fn contact(words: usize) -> Contact {
    let words = WORDS[words];
    Contact { contact: words.to_owned(), address: "\"|\n\\".to_owned(), note: words.repeat(2) }
}

fn at(moment: Moment) -> Timestamp {
    Timestamp::from_millis(moment)
}

fn currency() -> Currency {
    Currency::parse("CNY").unwrap_or_else(|_| unreachable!("CNY is a currency"))
}

fn rules_of(rules: &model::Rules) -> VersionedRules {
    VersionedRules {
        rules: LaneRules {
            tries_per_ten_seconds: rules.tries,
            address_tries_per_ten_seconds: rules.address_tries,
            polls_per_ten_seconds: rules.polls,
            polls_per_second: rules.polls_per_second,
            units_per_second: rules.units_per_second,
            queue_factor: rules.queue_factor,
            paused: rules.paused,
        },
        shop_version: rules.shop_version,
        item_version: rules.item_version,
    }
}

fn terms_of(terms: &model::Terms, rules: &model::Rules) -> Terms {
    Terms {
        starts_at: at(terms.starts_at),
        ends_at: at(terms.ends_at),
        per_user_limit: terms.cap,
        mode: if terms.instant { Mode::Instant } else { Mode::Queued },
        price: Money::new(terms.price, currency()),
        hold_ms: terms.hold_ms,
        pay_ms: terms.pay_ms,
        rules: rules_of(rules),
        retention_ms: terms.retention_ms,
        version: terms.version,
    }
}

fn documents(lane: &Lane) -> Documents {
    let sale_id = "sabcdefghij".parse().unwrap_or_else(|_| unreachable!("this is a sale's id"));
    let price = Money::new(1, currency());
    Documents {
        item: Item {
            id: lane.item.clone(),
            sale_id,
            title: "A \"thing\"".to_owned(),
            subtitle: String::new(),
            description: String::new(),
            image: String::new(),
            list_price: price.clone(),
            sale_price: price,
            stock: 1,
            per_user_limit: 1,
            mode: Mode::Queued,
            starts_at: at(BEGIN),
            ends_at: at(BEGIN + 1),
            lanes: 1,
            published: true,
            archived: false,
            version: 1,
        },
        sale: Sale {
            id: "sabcdefghij".parse().unwrap_or_else(|_| unreachable!("this is a sale's id")),
            title: String::new(),
            description: String::new(),
            starts_at: at(BEGIN),
            ends_at: at(BEGIN + 1),
            archived: false,
            version: 1,
        },
    }
}

/// Events that are copied before a lane is looked at.
pub const MENDER_COPIES: u32 = 500;

/// How a rebuild stands, as far as Redis tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    pub rebuilding: bool,
    pub untold: bool,
}

impl Real<'_> {
    /// Rebuilds the lane as a worker does that finds it behind. Returns whether it finished and the result, or the error.
    pub fn mend(&self, one_stage: bool, dies: Option<u32>) -> Result<(bool, String), String> {
        let patience = if one_stage { Duration::ZERO } else { Duration::from_secs(60) };
        self.redis.die_after(dies);
        let mended = now(async {
            let engine = self.engine();
            let copied = order_ledger::copy(&engine, self.sql, self.lane, MENDER_COPIES).await?;
            let contradicts = copied.events.contradicts;
            order_ledger::rebuild::rebuild(&engine, self.sql, self.lane, contradicts, patience).await
        });
        self.redis.die_after(None);
        match mended {
            Ok(rebuilt) => {
                let Rebuilt { finished, orders, retold, cancelled, ended, .. } = rebuilt;
                let found =
                    [(orders, "orders"), (retold, "told again"), (cancelled, "cancelled"), (ended, "ended")];
                let words: Vec<_> = found
                    .into_iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| format!("{count} {what}"))
                    .collect();
                Ok((finished, words.join(" ")))
            }
            Err(CopyError::Engine(EngineError::Redis(RedisError::Unavailable(_)))) if dies.is_some() => {
                Ok((false, "it died".to_owned()))
            }
            Err(other) => Err(other.to_string()),
        }
    }

    pub fn stage(&self) -> anyhow::Result<Stage> {
        let position = now(self.engine().position(self.lane))?;
        Ok(Stage { rebuilding: position.rebuilding, untold: position.untold && !position.rebuilding })
    }

    /// Events that the order database has of the lane.
    pub fn written(&self) -> anyhow::Result<i64> {
        Ok(now(order_ledger::read::written(self.sql, self.lane))?)
    }

    /// The order database's orders of the lane, in words, by tail.
    pub fn recorded(&self) -> anyhow::Result<Vec<(Tail, String)>> {
        let orders = now(order_ledger::recorded::orders_of_lane(self.sql, self.lane, None, 10_000))?;
        Ok(orders
            .into_iter()
            .map(|recorded| (number_of(recorded.order.id.tail.as_str()), shown(&recorded.order)))
            .collect())
    }

    /// What the order database has of each order's shopper, unless it is erased, by tail.
    pub fn contacts(&self) -> anyhow::Result<Vec<(Tail, Option<Contact>)>> {
        let orders = now(order_ledger::recorded::orders_of_lane(self.sql, self.lane, None, 10_000))?;
        let ids: Vec<OrderId> = orders.into_iter().map(|recorded| recorded.order.id).collect();
        let mut contacts = now(order_ledger::personal_data::contacts(self.sql, &ids))?;
        Ok(ids.iter().map(|id| (number_of(id.tail.as_str()), contacts.remove(id))).collect())
    }

    /// Events that were set aside.
    pub fn set_aside(&self) -> anyhow::Result<usize> {
        let parameters = [self.lane.item.as_str().into()];
        let rows = now(self.sql.execute("SELECT error FROM set_aside WHERE item_id = $1", &parameters))?;
        Ok(rows.len())
    }
}
