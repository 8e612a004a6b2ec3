use crate::support::{Chance, Outbox, Told, World, lane, on_both, runtime};
use order_ledger::{Copied, Entry, apply, copy, copy_success, drain, read};
use sale::Engine;
use sale::ids::{OrderId, PaymentId, ReservationId, Tail, UserId};
use sale::item::{Mode, Terms};
use sale::keys::{LEDGER_DOORBELL, LaneKeys};
use sale::money::{Currency, Money};
use sale::order::OrderState;
use sale::rules::VersionedRules;
use sale::scripts::{Contact, PaymentOutcome, Reserved, Settled, Wish};
use sale::store::Redis;
use sale::time::Timestamp;
use std::collections::HashMap;
use testkit::{AppendOnly, Connection, RedisServer};

on_both![
    what_the_engine_decided_is_what_the_database_records,
    copiers_that_die_at_any_step_or_work_side_by_side_lose_and_repeat_nothing,
    a_drain_rings_again_for_what_it_leaves_and_not_for_what_waits,
    an_empty_outbox_is_no_work,
    a_success_is_recorded_only_once_the_database_has_it,
];

pub const START: i64 = 1_795_255_200_000;
const PAY_MS: i64 = 300_000;

/// A published item with plenty of stock, decided on the spot.
pub struct Shop {
    pub redis: Connection,
    pub server: RedisServer,
    pub now: i64,
}

pub fn terms() -> Terms {
    Terms {
        version: 1,
        starts_at: Timestamp::from_millis(START),
        ends_at: Timestamp::from_millis(START + 100_000_000),
        per_user_limit: 3,
        mode: Mode::Instant,
        price: Money::new(9_900, Currency::parse("CNY").unwrap()),
        hold_ms: 600_000,
        pay_ms: PAY_MS,
        rules: VersionedRules::NONE,
        retention_ms: 1_000,
    }
}

impl Shop {
    pub async fn open() -> Self {
        let server = RedisServer::on_socket(AppendOnly::Off).await;
        let shop = Shop { redis: server.connect().await, server, now: START };
        shop.engine().publish(&lane(), 10_000, &terms()).await.unwrap();
        // As if the lane had told nothing yet: these tests count the events of orders.
        let keys = LaneKeys::of(&lane());
        shop.number("DEL", &[&keys.outbox()]).await;
        shop.number("HSET", &[&keys.lane(), "outbox_seq", "0"]).await;
        shop
    }

    pub fn engine(&self) -> Engine<Connection> {
        Engine::at(self.redis.clone(), Timestamp::from_millis(self.now))
    }

    /// A shopper's order, from reservation to checkout.
    pub async fn order(&self, number: u32) -> (OrderId, UserId) {
        let user: UserId = format!("u-{number}").parse().unwrap();
        let tail: Tail = format!("{number:0>12}").parse().unwrap();
        let wish = Wish {
            user: &user,
            quantity: 1 + number % 3,
            tail: tail.clone(),
            challenge: None,
            address: None,
        };
        let reserved = self.engine().reserve(&lane(), &wish).await.unwrap().outcome;
        assert!(matches!(reserved, Reserved::Held { .. }), "{reserved:?}");
        self.check_out(tail, user).await
    }

    pub async fn check_out(&self, tail: Tail, user: UserId) -> (OrderId, UserId) {
        let id = ReservationId::new(lane(), tail);
        let contact = Contact {
            contact: "\"韩\" \\ 梅梅".into(),
            address: "1, Main St\n".into(),
            note: "'; --".into(),
        };
        self.engine().checkout(&id, &user, &contact).await.unwrap();
        (id.order(), user)
    }

    /// Something happens to an order, legal or not.
    pub async fn happen(&mut self, order: &OrderId, user: &UserId, chance: &mut Chance) {
        self.now += i64::try_from(chance.below(2_000)).unwrap();
        let engine = self.engine();
        // One that Redis has forgotten.
        let Some((known, _)) = engine.order(order, None).await.unwrap() else { return };
        let attempt = known.payment.as_ref().map_or(1, |(payment, _)| payment.attempt);
        let payment = PaymentId { order: order.clone(), attempt: 1 + chance.below(attempt as usize) as u32 };
        let amount = known.total().amount;
        match chance.below(9) {
            0 | 1 => drop(engine.pay(order, user).await.unwrap()),
            2 => drop(engine.settle(&payment, PaymentOutcome::Failed, amount).await.unwrap()),
            3 | 4 => drop(engine.settle(&payment, PaymentOutcome::Succeeded, amount).await.unwrap()),
            5 => drop(engine.cancel(order, user).await.unwrap()),
            6 => drop(engine.refund(order).await.unwrap()),
            7 => drop(engine.refund_payment(&payment).await.unwrap()),
            _ => drop(engine.lapse(&lane(), 100).await.unwrap()),
        }
    }

    pub async fn number(&self, command: &str, arguments: &[&str]) -> i64 {
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
        self.redis.execute(command, &arguments).await.unwrap()[0].int().unwrap_or(0)
    }
}

async fn what_the_engine_decided_is_what_the_database_records(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let (order, user) = shop.order(1).await;
    shop.engine().pay(&order, &user).await.unwrap();
    let payment = PaymentId { order: order.clone(), attempt: 1 };
    shop.engine().settle(&payment, PaymentOutcome::Succeeded, 2 * 9_900).await.unwrap();
    let copied = copy(&shop.engine(), &sql, &lane(), 2).await.unwrap();
    assert_eq!((copied.events.applied, copied.left), (2, 1));
    assert!(copied.more());
    let copied = copy(&shop.engine(), &sql, &lane(), 2).await.unwrap();
    assert_eq!((copied.events.applied, copied.left), (1, 0));
    assert!(!copied.more());
    let known = read::order_of(&sql, &order, &user).await.unwrap().unwrap();
    assert_eq!(known.state, OrderState::Paid);
    assert_eq!(known.payment, Some(payment));
    assert_eq!(known.contact.contact, "\"韩\" \\ 梅梅");
    assert_eq!(known.contact.note, "'; --");
    let types: Vec<String> =
        read::history(&sql, &order).await.unwrap().into_iter().map(|told| told.r#type).collect();
    assert_eq!(types, ["order.created", "payment.created", "order.paid"]);
}

async fn copiers_that_die_at_any_step_or_work_side_by_side_lose_and_repeat_nothing(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    let mut chance = Chance(23);
    let mut orders: Vec<(OrderId, UserId)> = Vec::new();
    for step in 0..1_200 {
        if orders.len() < 200 && step % 5 == 0 {
            orders.push(shop.order(orders.len() as u32).await);
        }
        let (order, user) = orders[chance.below(orders.len())].clone();
        shop.happen(&order, &user, &mut chance).await;
        let most = 1 + chance.below(40) as u32;
        match chance.below(12) {
            0 => drop(copy(&shop.engine(), &sql, &lane(), most).await.unwrap()),
            // This copier died after reading.
            1 => drop(shop.engine().read_outbox(&lane(), most).await.unwrap()),
            // This copier died after writing.
            2 => {
                let entries = shop.engine().read_outbox(&lane(), most).await.unwrap();
                let entries: Vec<Entry> =
                    entries.into_iter().map(|entry| Entry { id: entry.id, event: entry.event }).collect();
                assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().done.len(), entries.len());
            }
            _ => {}
        }
        if step % 300 == 299 {
            copy_side_by_side(world, &shop);
        }
    }
    while copy(&shop.engine(), &sql, &lane(), 100).await.unwrap().left > 0 {}

    let keys = LaneKeys::of(&lane());
    let told = shop.number("HGET", &[&keys.lane(), "outbox_seq"]).await;
    assert_eq!(sql.number("SELECT count(*) FROM events").await, told);
    assert_eq!(read::written(&sql, &lane()).await.unwrap(), told);
    assert_eq!(sql.number("SELECT count(*) FROM set_aside").await, 0);
    assert_eq!(shop.number("XLEN", &[&keys.outbox()]).await, 0);
    assert_eq!(shop.number("XPENDING", &[&keys.outbox(), "ledger"]).await, 0);
    let mut states: HashMap<OrderState, u32> = HashMap::new();
    for (order, _) in &orders {
        let (in_engine, contact) = shop.engine().order(order, None).await.unwrap().unwrap();
        let in_sql = read::order(&sql, order).await.unwrap().unwrap();
        assert_eq!((in_sql.state, in_sql.paid_at), (in_engine.state, in_engine.paid_at), "{order}");
        assert_eq!((in_sql.created_at, in_sql.pay_by), (in_engine.created_at, in_engine.pay_by), "{order}");
        assert_eq!((in_sql.total.clone(), in_sql.user), (in_engine.total(), in_engine.user), "{order}");
        assert!(in_sql.contact == contact);
        *states.entry(in_sql.state).or_default() += 1;
    }
    assert_eq!(states.len(), OrderState::ALL.len(), "every state came about: {states:?}");
    let totals = read::totals(&sql, &lane().item).await.unwrap();
    let audit = shop.engine().audit(&lane(), 10_000).await.unwrap().unwrap();
    let units =
        |state| totals.iter().filter(|total| total.state == state).map(|total| total.quantity).sum::<i64>();
    assert_eq!((units(OrderState::Unpaid), units(OrderState::Paid)), (audit.ordered, audit.sold));
}

/// Three copiers drain the outbox at once.
fn copy_side_by_side(world: &World, shop: &Shop) {
    std::thread::scope(|scope| {
        for most in [7, 20, 50] {
            scope.spawn(move || {
                runtime().block_on(async {
                    let sql = world.connect().await;
                    let redis = shop.server.connect().await;
                    let engine = Engine::at(redis, Timestamp::from_millis(shop.now));
                    loop {
                        // Waiting for another's lock longer than its patience is no failure.
                        match copy(&engine, &sql, &lane(), most).await {
                            Ok(copied) if copied.left == 0 => break,
                            Ok(copied) => assert_eq!(copied.events.set_aside, 0),
                            Err(order_ledger::CopyError::Sql(order_ledger::SqlError::Unavailable(_))) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            });
        }
    });
}

async fn a_drain_rings_again_for_what_it_leaves_and_not_for_what_waits(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    for number in 0..260 {
        shop.order(number).await;
    }
    let mut bell = shop.server.listen(&[LEDGER_DOORBELL]).await;
    let drained = drain(&shop.engine(), &sql, &lane(), 1).await.unwrap();
    assert_eq!((drained.events.applied, drained.left), (250, 10));
    assert_eq!(bell.expect().await, lane().to_string());
    let drained = drain(&shop.engine(), &sql, &lane(), 8).await.unwrap();
    assert_eq!((drained.events.applied, drained.left), (10, 0));
    // An event is lost on the way. The events behind it wait in the outbox, and no bell would help them.
    shop.number("HINCRBY", &[&LaneKeys::of(&lane()).lane(), "outbox_seq", "1"]).await;
    shop.order(300).await;
    assert_eq!(bell.expect().await, lane().to_string(), "the engine rings for an outbox that was empty");
    let drained = drain(&shop.engine(), &sql, &lane(), 8).await.unwrap();
    assert_eq!((drained.events.waiting, drained.left), (1, 1));
    assert!(drained.is_odd());
    shop.number("PUBLISH", &[LEDGER_DOORBELL, "last"]).await;
    assert_eq!(bell.expect().await, "last");
}

async fn an_empty_outbox_is_no_work(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let copied = copy(&shop.engine(), &sql, &lane(), 100).await.unwrap();
    assert_eq!(copied, Copied::default());
    assert!(copied.is_nothing() && !copied.more());
}

async fn a_success_is_recorded_only_once_the_database_has_it(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let mut payments = Vec::new();
    for number in 0..260 {
        let (order, user) = shop.order(number).await;
        if number < 2 {
            shop.engine().pay(&order, &user).await.unwrap();
            payments.push(PaymentId { order, attempt: 1 });
        }
    }
    let settled = shop.engine().settle(&payments[0], PaymentOutcome::Succeeded, 9_900).await.unwrap();
    assert!(matches!(settled, Settled::Moved(_)), "{settled:?}");
    let engine = shop.engine();
    let is_recorded = async |payment, batches| copy_success(&engine, &sql, payment, batches).await.unwrap();
    assert!(!is_recorded(&payments[0], 0).await);
    assert!(!is_recorded(&payments[0], 1).await, "250 older events come first");
    assert!(is_recorded(&payments[0], 1).await);
    // Redis may forget everything now.
    shop.number("DEL", &[&LaneKeys::of(&lane()).outbox()]).await;
    assert!(is_recorded(&payments[0], 1).await);
    assert!(!is_recorded(&payments[1], 8).await, "nobody has paid this one");

    // An event that could not be applied is on record too: an operator decides about it.
    let mut unknown = Told::new(999);
    let mut outbox = Outbox::after(read::written(&sql, &lane()).await.unwrap());
    let entries = [outbox.moved(&mut unknown, "order.paid", "paid")];
    assert_eq!(apply(&sql, &lane(), &entries).await.unwrap().set_aside, 1);
    let [first, second] = [1, 2].map(|attempt| PaymentId { order: unknown.id.clone(), attempt });
    assert!(is_recorded(&first, 1).await);
    assert!(!is_recorded(&second, 1).await);
}
