//! Reads all that Redis has of a lane, and says in words where it differs from the model.

use provider_simulation::keys as provider_keys;
use sale::holders::FilterPart;
use sale::ids::Lane as LaneId;
use sale::ids::PaymentId;
use sale::keys::{GRANT_DOORBELL, LEDGER_DOORBELL, LOG, LaneKeys};
use sale::reservation::ReservationState;
use sale::store::Reply;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::model::{About, BEGIN, Event, Lane, Model, Order, Rules, Tail};
use crate::provider;
use crate::real::{contact, number_of, spell};
use crate::redis::write;
use crate::steps::SHOPPERS;
use crate::words;

/// The keys of a lane, spelled once.
pub struct Keys {
    lane: String,
    reservations: String,
    users: String,
    queue: String,
    deadlines: String,
    orders: String,
    details: String,
    outbox: String,
    alarm: String,
    changes: String,
    series: String,
    challenges: String,
    rebuilding: String,
    holders: String,
    ended: String,
    all: Vec<String>,
}

impl Keys {
    pub fn of(lane: &LaneId) -> Self {
        let keys = LaneKeys::of(lane);
        // Challenges of a run all expire in one window.
        let challenges = keys.challenges(BEGIN + 120_000);
        let mut all: Vec<String> = keys.lasting().into();
        all.push(challenges.clone());
        all.extend(keys.callers());
        Keys {
            lane: keys.lane(),
            reservations: keys.reservations(),
            users: keys.users(),
            queue: keys.queue(),
            deadlines: keys.deadlines(),
            orders: keys.orders(),
            details: keys.details(),
            outbox: keys.outbox(),
            alarm: keys.alarm(),
            changes: keys.changes(),
            series: keys.series(),
            challenges,
            rebuilding: keys.rebuilding(),
            holders: keys.holders(),
            ended: keys.ended(),
            all,
        }
    }

    pub fn lane(&self) -> &str {
        &self.lane
    }

    pub fn alarm(&self) -> &str {
        &self.alarm
    }

    pub fn outbox(&self) -> &str {
        &self.outbox
    }

    /// Every key that the lane may have.
    pub fn all(&self) -> &[String] {
        &self.all
    }
}

/// What the comparison remembers from step to step.
pub struct Watch {
    keys: Keys,
    lane: LaneId,
    /// The last entry of the outbox that was seen; nothing where all must be looked at.
    last_entry: Option<String>,
    /// Before when the alarm can't have lapsed by the real clock, as far as that is known.
    alarm_stands_until: Option<Instant>,
}

/// Redis rounds moments to milliseconds, and this machine's two clocks may differ by some.
const CLOCK_MARGIN: Duration = Duration::from_millis(100);

/// How many commands [`Watch::commands`] writes: after every step, and once in a while.
const EVERY: usize = 11;
const SOMETIMES: usize = 10;

impl Watch {
    pub fn new(lane: &LaneId) -> Self {
        Watch { keys: Keys::of(lane), lane: lane.clone(), last_entry: None, alarm_stands_until: None }
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Redis lost something, the alarm among it.
    pub fn forget(&mut self) {
        self.last_entry = None;
        self.alarm_stands_until = None;
    }

    /// The outbox began again.
    pub fn forget_outbox(&mut self) {
        self.last_entry = None;
    }

    /// The commands that look at everything; and how many.
    pub fn commands(&self, full: bool) -> (Vec<u8>, usize) {
        let keys = &self.keys;
        let mut commands = Vec::with_capacity(1024);
        let from = self.last_entry.as_ref().map_or("-".to_owned(), |id| format!("({id}"));
        let words: [&[&str]; EVERY] = [
            &["HGETALL", &keys.lane],
            &["HGETALL", &keys.reservations],
            &["HGETALL", &keys.users],
            &["LRANGE", &keys.queue, "0", "-1"],
            &["ZRANGE", &keys.deadlines, "0", "-1", "WITHSCORES"],
            &["HGETALL", &keys.orders],
            &["XRANGE", &keys.outbox, &from, "+"],
            &["XLEN", &keys.outbox],
            &["PTTL", &keys.alarm],
            &["LRANGE", &keys.changes, "0", "-1"],
            &["EXISTS", &keys.rebuilding],
        ];
        for words in words {
            write(&mut commands, words);
        }
        if !full {
            return (commands, EVERY);
        }
        let words: [&[&str]; SOMETIMES] = [
            &["XRANGE", &keys.outbox, "-", "+"],
            &["HGETALL", &keys.details],
            &["HGETALL", &keys.series],
            &["SMEMBERS", &keys.challenges],
            &["XRANGE", LOG, "-", "+"],
            &["HLEN", provider_keys::PAYMENTS],
            &["ZRANGE", provider_keys::DUE, "0", "-1", "WITHSCORES"],
            &["ZRANGE", provider_keys::KEPT, "0", "-1", "WITHSCORES"],
            &["GET", &keys.holders],
            &["LRANGE", &keys.ended, "0", "-1"],
        ];
        for words in words {
            write(&mut commands, words);
        }
        (commands, EVERY + SOMETIMES)
    }

    /// Every difference between the model and what the commands answered. `begun` is when the step began by the real clock.
    pub fn differences(
        &mut self,
        model: &Model,
        looked: &[Vec<Reply>],
        heard: &[String],
        begun: Instant,
    ) -> Vec<String> {
        let mut found = Differences(Vec::new());
        let [
            lane,
            reservations,
            users,
            queue,
            deadlines,
            orders,
            new_events,
            outbox,
            alarm,
            changes,
            rebuilding,
            rest @ ..,
        ] = looked
        else {
            return vec![format!("{} replies instead of {EVERY}", looked.len())];
        };
        let unseen = if self.last_entry.is_some() { model.signals.told } else { model.kept.outbox.len() };
        if let Some(id) = new_events.len().checked_sub(3).and_then(|at| new_events[at].text()) {
            self.last_entry = Some(id.into_owned());
        }
        if model.rebuilding {
            self.forget_outbox();
            found.number("the lane is away while it is rebuilt: fields of it", 0, lane.len() as i64);
            return found.0;
        }
        found.number("something is being rebuilt", 0, int(rebuilding));
        compare_lane(model, lane, &mut found);
        compare_reservations(model, lane, reservations, orders, &mut found);
        compare_users(model, users, &mut found);
        let places: Vec<Tail> = queue.iter().map(tail).collect();
        found.same("the queue", &model.kept.queue.iter().copied().collect::<Vec<_>>(), &places);
        compare_deadlines(model, deadlines, &mut found);
        found.number("events in the outbox", model.kept.outbox.len() as i64, int(outbox));
        compare_changes(model, changes, &mut found);
        self.compare_alarm(model, int(alarm), begun, &mut found);
        compare_doorbells(model, heard, &mut found);
        let from = model.kept.outbox.len().saturating_sub(unseen);
        self.compare_events(&model.kept.outbox[from..], new_events, &mut found);
        if let [all_events, details, series, challenges, log, payments, due, kept, holders, ended] = rest {
            self.compare_events(&model.kept.outbox, all_events, &mut found);
            compare_details(model, details, &mut found);
            compare_series(model, series, &mut found);
            found.number("challenges used", model.kept.used.len() as i64, challenges.len() as i64);
            compare_log(model, log, &mut found);
            found.number("payments at the provider", model.provider.payments.len() as i64, int(payments));
            compare_moments("webhooks due", &model.provider.due, due, &mut found);
            compare_moments("payments kept by the provider", &model.provider.kept, kept, &mut found);
            compare_holders(model, holders, &mut found);
            let ended: Vec<String> = ended.iter().map(|entry| text(entry).into_owned()).collect();
            let expected = model.kept.ended.iter().map(|(second, tail)| format!("{second}|{}", spell(*tail)));
            found.same("reservations that ended", &expected.collect(), &ended);
        }
        found.0
    }

    fn compare_alarm(&mut self, model: &Model, left: i64, begun: Instant, found: &mut Differences) {
        let Some(next) = model.next_moment() else {
            self.alarm_stands_until = None;
            return;
        };
        let within = (next - model.now).max(10);
        let earliest = model.signals.armed_for.map_or(next, |earlier| earlier.min(next));
        let stands_for = (earliest - model.now).max(10);
        if model.signals.armed || (model.signals.armed_if_lost && self.alarm_stands_until.is_none()) {
            let end = begun + Duration::from_millis(u64::try_from(stands_for).unwrap_or(0));
            // One that may just have lapsed may still have stood, and then no new one was set.
            let stands = self.alarm_stands_until.filter(|until| *until + 10 * CLOCK_MARGIN > begun);
            self.alarm_stands_until = Some(stands.map_or(end, |until| until.min(end)));
            if left > within {
                found.say(format!("the alarm is {left} ms away, and the lane's next moment {within} ms"));
            }
        }
        let stands = self.alarm_stands_until.is_some_and(|until| until > Instant::now() + CLOCK_MARGIN);
        if stands && left < 0 {
            found.say(format!("there is no alarm, and the lane's next moment is {within} ms away"));
        }
    }

    fn compare_events(&self, expected: &[Event], entries: &[Reply], found: &mut Differences) {
        let events: Vec<&Reply> = entries.chunks_exact(3).map(|entry| &entry[2]).collect();
        if expected.len() != events.len() {
            let kinds: Vec<_> = expected.iter().map(|event| event.kind).collect();
            found.say(format!("events told: {kinds:?} in the model, {} in Redis: {events:?}", events.len()));
            return;
        }
        for (expected, event) in expected.iter().zip(events) {
            let told: Value = serde_json::from_str(&text(event)).unwrap_or(Value::Null);
            self.compare_event(expected, &told, found);
        }
    }

    fn compare_event(&self, event: &Event, told: &Value, found: &mut Differences) {
        let mut expected = json!({
            "seq": event.seq, "type": event.kind, "at": event.at, "item_id": self.lane.item.as_str(), "lane": self.lane.number,
        });
        match &event.about {
            About::Documents => {
                for name in ["seq", "type", "at", "item_id", "lane"] {
                    if told[name] != expected[name] {
                        found.say(format!(
                            "event {}: {name} is {} and should be {}",
                            event.seq, told[name], expected[name]
                        ));
                    }
                }
                return;
            }
            About::Lane { switch, total, terms, purge_at, rules } => {
                let more = json!({
                    "switch": switch.as_str(), "total": total, "starts_at": terms.starts_at, "ends_at": terms.ends_at,
                    "cap": terms.cap, "mode": mode(terms.instant), "price": terms.price, "currency": "CNY",
                    "hold_ms": terms.hold_ms, "pay_ms": terms.pay_ms, "queue_factor": rules.queue_factor,
                    "purge_at": purge_at, "rates": rates(rules),
                });
                merge(&mut expected, more);
                if rules.paused {
                    merge(&mut expected, json!({ "paused_by_rules": true }));
                }
            }
            About::Order { tail, order, attempt } => {
                let id = format!("{}-{}-{}", self.lane.item, self.lane.number, spell(*tail));
                merge(
                    &mut expected,
                    json!({
                        "order_id": format!("o-{id}"), "reservation_id": format!("r-{id}"),
                        "user_id": SHOPPERS[usize::from(order.who)], "quantity": order.quantity,
                        "unit_price": order.unit_price, "currency": "CNY", "state": order.state.as_str(),
                        "pay_by": order.pay_by,
                    }),
                );
                if *attempt > 0 {
                    let amount = order.unit_price * i64::from(order.quantity);
                    merge(
                        &mut expected,
                        json!({"payment_id": format!("p-{id}-{attempt}"), "amount": amount}),
                    );
                }
                if let Some(at) = order.paid_at {
                    merge(&mut expected, json!({ "paid_at": at }));
                }
            }
        }
        if expected != *told {
            found.say(format!("event {} should be {expected} and is {told}", event.seq));
        }
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn mode(instant: bool) -> &'static str {
    if instant { "instant" } else { "queued" }
}

fn rates(rules: &Rules) -> String {
    let Rules { tries, address_tries, polls, polls_per_second, units_per_second, .. } = rules;
    format!("{tries}|{address_tries}|{polls}|{polls_per_second}|{units_per_second}")
}

struct Differences(Vec<String>);

impl Differences {
    fn say(&mut self, words: String) {
        self.0.push(words);
    }

    fn number(&mut self, what: &str, model: i64, redis: i64) {
        if model != redis {
            self.say(format!("{what}: {model} in the model, {redis} in Redis"));
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, model: &T, redis: &T) {
        if model != redis {
            self.say(format!("{what}: {model:?} in the model, {redis:?} in Redis"));
        }
    }
}

fn text(reply: &Reply) -> Cow<'_, str> {
    match reply {
        Reply::Binary(bytes) => String::from_utf8_lossy(bytes),
        other => other.text().unwrap_or_default(),
    }
}

fn int(replies: &[Reply]) -> i64 {
    replies.first().and_then(Reply::int).unwrap_or(i64::MIN)
}

fn tail(reply: &Reply) -> Tail {
    number_of(&text(reply))
}

fn pairs(replies: &[Reply]) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    replies.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1])))
}

fn compare_lane(model: &Model, fields: &[Reply], found: &mut Differences) {
    let Some(lane) = &model.kept.lane else {
        found.number("there is no lane: fields of it", 0, fields.len() as i64);
        return;
    };
    if fields.is_empty() {
        found.say("there is no lane in Redis".to_owned());
        return;
    }
    let there: HashMap<Cow<'_, str>, Cow<'_, str>> = pairs(fields).collect();
    for (name, expected) in expected_fields(model, lane) {
        let is = there.get(name).map(AsRef::as_ref);
        if is != expected.as_deref() {
            found.say(format!("{name}: {expected:?} in the model, {is:?} in Redis"));
        }
    }
    let due = there.get("refunds_due").and_then(|due| due.parse().ok()).unwrap_or(0);
    found.number("refunds due", model.refunds_due(), due);
}

fn expected_fields(model: &Model, lane: &Lane) -> Vec<(&'static str, Option<String>)> {
    let Lane { terms, rules, .. } = lane;
    let number = |number: i64| Some(number.to_string());
    vec![
        ("switch", Some(lane.switch.as_str().to_owned())),
        ("total", number(lane.total)),
        ("available", number(model.available())),
        ("held", number(model.held())),
        ("ordered", number(model.ordered())),
        ("sold", number(model.sold())),
        ("admitted", number(lane.admitted)),
        ("drained", number(lane.drained)),
        ("outbox_seq", number(lane.seq)),
        ("version", lane.version.map(|version| version.to_string())),
        ("starts_at", number(terms.starts_at)),
        ("ends_at", number(terms.ends_at)),
        ("cap", number(i64::from(terms.cap))),
        ("mode", Some(mode(terms.instant).to_owned())),
        ("price", number(terms.price)),
        ("currency", Some("CNY".to_owned())),
        ("hold_ms", number(terms.hold_ms)),
        ("pay_ms", number(terms.pay_ms)),
        ("purge_at", number(lane.purge_at)),
        ("rates", Some(rates(rules))),
        ("queue_factor", Some(rules.queue_factor.to_string())),
        ("shop_rules", lane.has_versions.then(|| rules.shop_version.to_string())),
        ("item_rules", lane.has_versions.then(|| rules.item_version.to_string())),
        ("paused_by_rules", lane.paused_by_rules.then(|| "1".to_owned())),
        ("waiting_since", lane.waiting_since.and_then(number)),
        ("outbox_since", lane.outbox_since.and_then(number)),
        ("units_until", lane.units_until.map(|until| format!("{until}.000"))),
        ("last_change", lane.last_change.and_then(number)),
    ]
}

fn compare_reservations(
    model: &Model,
    lane: &[Reply],
    records: &[Reply],
    orders: &[Reply],
    found: &mut Differences,
) {
    let lane: HashMap<Cow<'_, str>, Cow<'_, str>> = pairs(lane).collect();
    // A hold has the number of its price, and the lane keeps the prices that were replaced.
    let price = |number: &str| {
        let current = lane.get("price_number").map_or("0", AsRef::as_ref);
        let number = if number.is_empty() { "0" } else { number };
        let name = if number == current { "price".to_owned() } else { format!("price:{number}") };
        lane.get(name.as_str()).and_then(|price| price.parse().ok())
    };
    let known = &model.kept.reservations;
    found.number("reservations", known.len() as i64, records.len() as i64 / 2);
    for (name, record) in pairs(records) {
        let Some(r) = known.get(&number_of(&name)) else {
            found.say(format!("reservation {name} ({record}) is not in the model"));
            continue;
        };
        let mut fields = record.split('|');
        let mut next = || fields.next().unwrap_or_default();
        let (state, user, quantity, number) = (next(), next(), next(), next());
        let (expected_number, is_number_right) = match r.state {
            ReservationState::Queued => (r.number, number.parse() == Ok(r.number)),
            ReservationState::Held => (r.unit_price, price(number) == Some(r.unit_price)),
            _ => (0, number.is_empty()),
        };
        let same = state == r.state.as_str()
            && user == SHOPPERS[usize::from(r.who)]
            && quantity.parse() == Ok(r.quantity)
            && is_number_right;
        if !same {
            let name = words::reservation(number_of(&name));
            let (state, who) = (r.state.as_str(), SHOPPERS[usize::from(r.who)]);
            found.say(format!(
                "{name}: {state}|{who}|{}|{expected_number} in the model, {record} in Redis",
                r.quantity
            ));
        }
    }
    let expected = known.values().filter(|r| r.order.is_some()).count();
    found.number("orders", expected as i64, orders.len() as i64 / 2);
    for (name, record) in pairs(orders) {
        match known.get(&number_of(&name)).and_then(|r| r.order.as_ref()) {
            None => found.say(format!("order {name} ({record}) is not in the model")),
            Some(order) if !is_same_order(order, &record) => {
                found.say(format!("order {name}: {} in the model, {record} in Redis", words::order(order)));
            }
            Some(_) => {}
        }
    }
}

fn is_same_order(order: &Order, record: &str) -> bool {
    let fields: Vec<&str> = record.split('|').collect();
    let [
        state,
        user,
        quantity,
        unit,
        currency,
        created,
        pay_by,
        paid_at,
        attempt,
        payment,
        attempts,
        surplus @ ..,
    ] = &fields[..]
    else {
        return false;
    };
    let mut surplus: Vec<(u32, bool)> = surplus
        .first()
        .unwrap_or(&"")
        .split(',')
        .filter_map(|one| one.split_once(':'))
        .map(|(attempt, state)| (attempt.parse().unwrap_or(0), state == "refunded"))
        .collect();
    surplus.sort_unstable();
    *state == order.state.as_str()
        && *user == SHOPPERS[usize::from(order.who)]
        && quantity.parse() == Ok(order.quantity)
        && unit.parse() == Ok(order.unit_price)
        && *currency == "CNY"
        && created.parse() == Ok(order.created)
        && pay_by.parse() == Ok(order.pay_by)
        && paid_at.parse() == Ok(order.paid_at.unwrap_or(0))
        && attempt.parse() == Ok(order.attempt)
        && *payment == order.payment.map(words::payment_word).unwrap_or_default()
        && attempts.parse() == Ok(order.attempts)
        && surplus.into_iter().eq(order.surplus.iter().map(|(attempt, returned)| (*attempt, *returned)))
}

fn compare_users(model: &Model, records: &[Reply], found: &mut Differences) {
    let there: HashMap<Cow<'_, str>, Cow<'_, str>> = pairs(records).collect();
    let mut expected = 0;
    for (who, name) in SHOPPERS.iter().enumerate() {
        let who = u8::try_from(who).unwrap_or(0);
        let (counted, alive) = (model.counted(who), model.alive(who));
        let record = (counted > 0 || alive.is_some())
            .then(|| format!("{counted}|{}", alive.map(spell).unwrap_or_default()));
        expected += i64::from(record.is_some());
        let is = there.get(*name).map(AsRef::as_ref);
        if is != record.as_deref() {
            found.say(format!("units of {name}: {record:?} in the model, {is:?} in Redis"));
        }
    }
    found.number("shoppers with units", expected, there.len() as i64);
}

fn compare_deadlines(model: &Model, scores: &[Reply], found: &mut Differences) {
    let mut expected: Vec<(i64, Tail)> =
        model.kept.reservations.iter().filter_map(|(tail, r)| Some((r.lapses_at()?, *tail))).collect();
    expected.sort_unstable();
    let there: Vec<(i64, Tail)> =
        pairs(scores).map(|(name, score)| (moment(&score), number_of(&name))).collect();
    found.same("deadlines", &expected, &there);
}

/// Redis gives scores as decimals.
fn moment(text: &str) -> i64 {
    text.parse::<f64>().map_or(-1, |score| score as i64)
}

fn compare_moments(
    what: &str,
    expected: &BTreeMap<provider::Id, i64>,
    scores: &[Reply],
    found: &mut Differences,
) {
    let there: BTreeMap<provider::Id, i64> = pairs(scores)
        .filter_map(|(name, score)| {
            let id: PaymentId = name.parse().ok()?;
            Some(((number_of(id.order.tail.as_str()), id.attempt), moment(&score)))
        })
        .collect();
    found.same(what, expected, &there);
}

fn compare_changes(model: &Model, changes: &[Reply], found: &mut Differences) {
    let expected: Vec<(i64, Value)> =
        model.kept.changes.iter().map(|change| (change.number, as_logged(change))).collect();
    let there: Vec<(i64, Value)> = changes
        .iter()
        .map(|change| {
            let text = text(change);
            let (number, entry) = text.split_once('|').unwrap_or_default();
            (number.parse().unwrap_or(0), core_of(entry))
        })
        .collect();
    found.same("operators' changes", &expected, &there);
}

fn compare_log(model: &Model, entries: &[Reply], found: &mut Differences) {
    let expected: Vec<Value> = model.log.iter().map(as_logged).collect();
    let there: Vec<Value> = entries.chunks_exact(3).map(|entry| core_of(&text(&entry[2]))).collect();
    found.same("the shop's log", &expected, &there);
}

fn as_logged(change: &crate::model::Change) -> Value {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({ "at": change.at, "before": json(&change.before), "after": json(&change.after) })
}

/// What an entry of the log says beside who made it.
fn core_of(entry: &str) -> Value {
    let entry: Value = serde_json::from_str(entry).unwrap_or(Value::Null);
    json!({ "at": entry["at"], "before": entry["before"], "after": entry["after"] })
}

fn compare_details(model: &Model, records: &[Reply], found: &mut Differences) {
    let orders = || model.kept.reservations.iter().filter_map(|(tail, r)| Some((*tail, r.order.as_ref()?)));
    found.number("orders with details", orders().count() as i64, records.len() as i64 / 2);
    let there: HashMap<Tail, Value> = pairs(records)
        .map(|(name, record)| (number_of(&name), serde_json::from_str(&record).unwrap_or(Value::Null)))
        .collect();
    for (tail, order) in orders() {
        let expected = json!(order.words.map(contact));
        if there.get(&tail) != Some(&expected) {
            found
                .say(format!("details of #{tail}: {expected} in the model, {:?} in Redis", there.get(&tail)));
        }
    }
}

fn compare_series(model: &Model, counts: &[Reply], found: &mut Differences) {
    let there: HashMap<Cow<'_, str>, Cow<'_, str>> = pairs(counts).collect();
    let counts = there.keys().filter(|name| !name.starts_with('@')).count();
    found.number("counts in the time series", model.kept.series.len() as i64, counts as i64);
    for ((at, name), count) in &model.kept.series {
        let is = there.get(format!("{at}:{name}").as_str()).and_then(|count| count.parse().ok());
        if is != Some(*count) {
            found.say(format!("{name} at {}: {count} in the model, {is:?} in Redis", words::clock(*at)));
        }
    }
}

fn compare_holders(model: &Model, filter: &[Reply], found: &mut Differences) {
    let bits = match filter.first() {
        Some(Reply::Binary(bits)) => bits.clone(),
        _ => Vec::new(),
    };
    // A walk's stock is small: one part has everybody.
    let part = FilterPart::new(1, 0, bits);
    for (who, name) in SHOPPERS.iter().enumerate() {
        let expected = u8::try_from(who).is_ok_and(|who| model.kept.holders.contains(&who));
        let is_there = name.parse().is_ok_and(|user| part.may_contain(&user));
        if is_there != expected {
            found.say(format!("{name} got units: {expected} in the model, {is_there} in the filter"));
        }
    }
}

fn compare_doorbells(model: &Model, heard: &[String], found: &mut Differences) {
    for (must_ring, channel) in
        [(model.signals.ring_grant, GRANT_DOORBELL), (model.signals.ring_ledger, LEDGER_DOORBELL)]
    {
        // Rung once too often it does no harm; a paused lane has nothing to grant.
        let heard = heard.iter().any(|one| one == channel);
        if must_ring && !heard {
            found.say(format!("the doorbell {channel} did not ring"));
        }
    }
}
