//! One item on a Redis of its own, at a moment that the test chooses.

use sale::Engine;
use sale::ids::{Lane, OrderId, PaymentId, ReservationId, Tail, UserId};
use sale::item::{Mode, Terms};
use sale::keys::LaneKeys;
use sale::money::{Currency, Money};
use sale::reservation::ReservationState;
use sale::rules::VersionedRules;
use sale::scripts::{
    Audit, ChallengeUse, CheckedOut, Contact, Granted, LaneView, OrderView, PaymentOpened, PaymentOutcome,
    Polled, Published, ReservationView, Reserved, Settled, StockChange, Wish,
};
use sale::time::Timestamp;
use std::cell::Cell;
use std::collections::BTreeMap;
use testkit::{AppendOnly, Connection, RedisServer};

/// When the tests begin: ten seconds after the item's start.
pub const NOW: i64 = 1_795_255_200_000;
pub const STARTS: i64 = NOW - 10_000;
pub const ENDS: i64 = NOW + 3_600_000;
pub const HOLD_MS: i64 = 120_000;
pub const PAY_MS: i64 = 600_000;
pub const RETENTION_MS: i64 = 86_400_000;
pub const PRICE: i64 = 9_900;

pub struct Shop {
    pub server: RedisServer,
    pub redis: Connection,
    pub lane: Lane,
    pub keys: LaneKeys,
    now: Cell<i64>,
    names: Cell<u64>,
}

/// An ordinary item's terms: one a shopper, queued.
pub fn terms() -> Terms {
    Terms {
        version: 1,
        starts_at: Timestamp::from_millis(STARTS),
        ends_at: Timestamp::from_millis(ENDS),
        per_user_limit: 1,
        mode: Mode::Queued,
        price: Money::new(PRICE, Currency::parse("CNY").unwrap()),
        hold_ms: HOLD_MS,
        pay_ms: PAY_MS,
        rules: VersionedRules::NONE,
        retention_ms: RETENTION_MS,
    }
}

pub fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

pub fn contact() -> Contact {
    Contact { contact: "Li Lei 13800138000".into(), address: "1 Long St".into(), note: String::new() }
}

impl Shop {
    /// A server on which nothing is published yet.
    pub async fn empty() -> Shop {
        let server = RedisServer::on_socket(AppendOnly::Off).await;
        let redis = server.connect().await;
        let lane: Lane = "iabcdefghij:0".parse().unwrap();
        let keys = LaneKeys::of(&lane);
        Shop { server, redis, lane, keys, now: Cell::new(NOW), names: Cell::new(0) }
    }

    /// An open item of `total` units on ordinary terms.
    pub async fn open(total: i64) -> Shop {
        Shop::with(total, |_| {}).await
    }

    /// An open item of `total` units on terms that `change` has changed.
    pub async fn with(total: i64, change: impl FnOnce(&mut Terms)) -> Shop {
        let shop = Shop::empty().await;
        let mut terms = terms();
        change(&mut terms);
        assert_eq!(shop.engine().publish(&shop.lane, total, &terms).await.unwrap(), Published::New);
        shop.forget_events().await;
        shop.engine().lapse(&shop.lane, 1).await.unwrap();
        shop
    }

    /// As if the lane had told nothing yet: most tests are about what it tells later.
    pub async fn forget_events(&self) {
        self.redis.command("DEL", &[&self.keys.outbox()]).await;
        self.redis.command("HSET", &[&self.keys.lane(), "outbox_seq", "0"]).await;
        self.redis.command("HDEL", &[&self.keys.lane(), "outbox_since"]).await;
        self.redis.command("DEL", &[&self.keys.alarm()]).await;
    }

    /// The engine at the shop's moment.
    pub fn engine(&self) -> Engine<Connection> {
        Engine::at(self.redis.clone(), self.now())
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.get())
    }

    pub fn advance(&self, millis: i64) {
        self.now.set(self.now.get() + millis);
    }

    pub fn set_now(&self, millis: i64) {
        self.now.set(millis);
    }

    /// A tail that no reservation has yet.
    pub fn tail(&self) -> Tail {
        self.names.set(self.names.get() + 1);
        format!("{:012}", self.names.get()).parse().unwrap()
    }

    pub async fn reserve(&self, name: &str, quantity: u32) -> Reserved {
        self.reserve_answering(name, quantity, None).await
    }

    pub async fn reserve_answering(
        &self,
        name: &str,
        quantity: u32,
        challenge: Option<ChallengeUse>,
    ) -> Reserved {
        let user = user(name);
        let wish = Wish { user: &user, quantity, tail: self.tail(), challenge, address: None };
        self.engine().reserve(&self.lane, &wish).await.unwrap().outcome
    }

    /// What `reserve_answering` would reply; nothing where it would admit.
    pub async fn rehearse(
        &self,
        name: &str,
        quantity: u32,
        challenge: Option<ChallengeUse>,
    ) -> Option<Reserved> {
        let user = user(name);
        let wish = Wish { user: &user, quantity, tail: self.tail(), challenge, address: None };
        self.engine().rehearse(&self.lane, &wish).await.unwrap().outcome
    }

    /// A challenge that expires in two minutes.
    pub fn challenge(&self, id: &str, answered: bool) -> ChallengeUse {
        ChallengeUse { id: id.to_owned(), expires_at: self.now().plus_millis(120_000), answered }
    }

    pub async fn queued(&self, name: &str) -> ReservationId {
        match self.reserve(name, 1).await {
            Reserved::Queued { id, .. } => id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn grant(&self) -> Granted {
        self.engine().grant(&self.lane, 1000).await.unwrap()
    }

    pub async fn held(&self, name: &str) -> ReservationId {
        let id = self.queued(name).await;
        self.grant().await;
        assert_eq!(self.state(&id, name).await, ReservationState::Held);
        id
    }

    pub async fn checked_out(&self, id: &ReservationId, name: &str) -> OrderView {
        match self.engine().checkout(id, &user(name), &contact()).await.unwrap() {
            CheckedOut::Made(order) => order,
            other => panic!("{other:?}"),
        }
    }

    pub async fn ordered(&self, name: &str) -> OrderView {
        let id = self.held(name).await;
        self.checked_out(&id, name).await
    }

    /// An unpaid order with an open payment.
    pub async fn paying(&self, name: &str) -> PaymentId {
        let order = self.ordered(name).await;
        self.payment(&order.id, name).await
    }

    pub async fn payment(&self, id: &OrderId, name: &str) -> PaymentId {
        match self.engine().pay(id, &user(name)).await.unwrap() {
            PaymentOpened::New(order) => order.payment.unwrap().0,
            other => panic!("{other:?}"),
        }
    }

    pub async fn settled(&self, id: &PaymentId, outcome: PaymentOutcome) -> OrderView {
        match self.engine().settle(id, outcome, PRICE).await.unwrap() {
            Settled::Moved(order) => order,
            other => panic!("{other:?}"),
        }
    }

    pub async fn poll(&self, id: &ReservationId, name: &str) -> ReservationView {
        match self.engine().poll(id, &user(name), false).await.unwrap().outcome {
            Polled::Found(view) => view,
            other => panic!("{other:?}"),
        }
    }

    pub async fn state(&self, id: &ReservationId, name: &str) -> ReservationState {
        self.poll(id, name).await.state
    }

    pub async fn view(&self) -> LaneView {
        self.engine().view(&self.lane).await.unwrap().expect("it is published")
    }

    pub async fn stock(&self, change: StockChange) -> sale::scripts::Stocked {
        self.engine().stock(&self.lane, change).await.unwrap()
    }

    /// Milliseconds until the alarm lapses; negative when there is none.
    pub async fn alarm_in(&self) -> i64 {
        self.redis.number("PTTL", &[&self.keys.alarm()]).await
    }

    /// Asserts that the alarm lapses `millis` after the shop's moment, at most 2 s of which have passed meanwhile.
    pub async fn assert_alarm_in(&self, millis: i64) {
        let left = self.alarm_in().await;
        assert!((millis - 2_000..=millis).contains(&left), "alarm in {left} ms, not {millis} ms");
    }

    /// The counters: available, held, ordered, sold.
    pub async fn counters(&self) -> [i64; 4] {
        let view = self.view().await;
        [view.available, view.held, view.ordered, view.sold]
    }

    /// Asserts every invariant of the lane, record by record.
    pub async fn assert_sound(&self) -> Audit {
        assert_sound(&self.redis, &self.lane).await
    }
}

/// A reservation's record as it is kept.
#[derive(Debug, Clone)]
pub struct Record {
    pub state: ReservationState,
    pub user: String,
    pub quantity: i64,
    /// While it is queued.
    pub number: Option<i64>,
}

pub async fn records(redis: &Connection, key: &str) -> BTreeMap<String, String> {
    let flat = redis.texts("HGETALL", &[key]).await;
    flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

pub async fn reservations(redis: &Connection, keys: &LaneKeys) -> BTreeMap<String, Record> {
    let records = records(redis, &keys.reservations()).await;
    let record = |text: &str| {
        let mut fields = text.split('|');
        let state = ReservationState::parse(fields.next().unwrap()).expect(text);
        Record {
            state,
            user: fields.next().unwrap().to_owned(),
            quantity: fields.next().unwrap().parse().unwrap(),
            number: fields.next().map(|number| number.parse().unwrap()),
        }
    };
    records.iter().map(|(tail, text)| (tail.clone(), record(text))).collect()
}

/// Asserts every invariant of a lane that nobody touches meanwhile: the audit's, and that queue, deadlines and
/// users agree with the reservations one by one.
pub async fn assert_sound(redis: &Connection, lane: &Lane) -> Audit {
    let keys = LaneKeys::of(lane);
    let audit = Engine::new(redis).audit(lane, 1_000_000).await.unwrap().expect("it is published");
    assert_eq!(audit.differences(), Vec::<String>::new());
    assert_eq!(audit.available + audit.held + audit.ordered + audit.sold, audit.total);
    assert!(audit.available >= 0 && audit.held >= 0 && audit.ordered >= 0 && audit.sold >= 0, "{audit:?}");

    let reservations = reservations(redis, &keys).await;
    let orders: BTreeMap<String, Vec<String>> = records(redis, &keys.orders())
        .await
        .into_iter()
        .map(|(tail, record)| (tail, record.split('|').map(str::to_owned).collect()))
        .collect();

    let drained = redis.number("HGET", &[&keys.lane(), "drained"]).await;
    let queue = redis.texts("LRANGE", &[&keys.queue(), "0", "-1"]).await;
    for (at, tail) in queue.iter().enumerate() {
        // One that was given back may be forgotten.
        let Some(number) = reservations.get(tail).and_then(|record| record.number) else { continue };
        assert_eq!(number - drained, at as i64 + 1, "{tail} is not at its place");
    }
    let waiting = reservations.iter().filter(|(_, record)| record.state == ReservationState::Queued);
    for (tail, _) in waiting {
        assert_eq!(queue.iter().filter(|entry| *entry == tail).count(), 1, "{tail} waits outside the queue");
    }

    let mut deadlines = BTreeMap::new();
    let mut users: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for (tail, record) in &reservations {
        let order_state = orders.get(tail).map(|order| order[0].as_str());
        assert_eq!(record.state == ReservationState::Ordered, order_state.is_some(), "{tail}");
        let (taken, alive) = match (record.state, order_state) {
            (ReservationState::Queued, _) => (true, true),
            (ReservationState::Held, _) => {
                deadlines.insert(tail.clone(), None);
                (true, true)
            }
            (ReservationState::Ordered, Some("unpaid")) => {
                deadlines.insert(tail.clone(), Some(orders[tail][6].clone()));
                (true, true)
            }
            (ReservationState::Ordered, Some("paid")) => (true, false),
            _ => (false, false),
        };
        if taken {
            users.entry(record.user.clone()).or_default().0 += record.quantity;
        }
        if alive {
            let alive = &mut users.entry(record.user.clone()).or_default().1;
            assert_eq!(alive, "", "{} has two reservations alive", record.user);
            *alive = tail.clone();
        }
    }
    let scores = redis.texts("ZRANGE", &[&keys.deadlines(), "0", "-1", "WITHSCORES"]).await;
    assert_eq!(scores.len(), 2 * deadlines.len(), "deadlines");
    for pair in scores.chunks_exact(2) {
        let pay_by = deadlines.get(&pair[0]).expect("only holds and unpaid orders have deadlines");
        assert!(pay_by.as_ref().is_none_or(|pay_by| *pay_by == pair[1]), "{pair:?}, {pay_by:?}");
    }
    let users: BTreeMap<_, _> =
        users.into_iter().map(|(user, (taken, alive))| (user, format!("{taken}|{alive}"))).collect();
    assert_eq!(records(redis, &keys.users()).await, users, "users");
    audit
}
