use crate::copying::{Shop, terms};
use crate::support::{Chance, Client, Outbox, Told, World, lane, on_both};
use order_ledger::audit::{LaneAudit, audit};
use order_ledger::rebuild::{Rebuilt, Standing, go_on, rebuild, rebuild_unless_lost, standing};
use order_ledger::{apply, copy, read, recorded, set_aside};
use sale::ids::{OrderId, Tail, UserId};
use sale::item::Switch;
use sale::keys::{LEDGER_DOORBELL, LaneKeys};
use sale::money::{Currency, Money};
use sale::order::OrderState;
use sale::rules::{LaneRules, VersionedRules};
use sale::scripts::{PaymentOutcome, Polled, ReservationView, Reserved, StockChange, Wish};
use sale::store::{Redis, Reply};
use sale::work;
use std::collections::BTreeMap;
use std::time::Duration;

on_both![
    a_lane_that_is_lost_comes_back_as_it_was,
    a_lane_from_an_old_copy_is_brought_forward_and_sells_nothing_twice,
    a_power_cut_costs_neither_holds_nor_the_queue,
    an_audit_names_every_row_that_differs,
    an_audit_beside_a_busy_sale_finds_nothing,
    a_rebuild_ends_by_alarms_and_ticks_alone_though_each_worker_dies_after_one_step,
    every_decision_that_an_operator_made_after_redis_came_back_holds,
    a_decision_on_an_old_copy_leaves_what_it_did_not_change,
    a_cut_of_the_stock_is_never_below_what_is_taken_and_cancels_what_no_longer_fits,
    a_closed_item_stays_closed_whatever_an_older_copy_allowed,
];

const NEVER: Duration = Duration::from_secs(60);

impl Shop {
    /// Stock, so that the lane has told what it offers.
    async fn offer(&self, total: i64) {
        self.engine().stock(&lane(), StockChange::Total(total)).await.unwrap();
    }

    async fn copy_all(&self, sql: &Client) {
        while copy(&self.engine(), sql, &lane(), 500).await.unwrap().left > 0 {}
    }

    /// The lane's keys as a copy of Redis would have them.
    pub async fn save(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut copy = Vec::new();
        for key in self.redis.execute("KEYS", &[b"*"]).await.unwrap() {
            let Reply::Binary(key) = key else { panic!() };
            let Some(Reply::Binary(value)) = self.redis.execute("DUMP", &[&key]).await.unwrap().pop() else {
                continue;
            };
            copy.push((key, value));
        }
        copy
    }

    pub async fn come_back_with(&self, copy: &[(Vec<u8>, Vec<u8>)]) {
        self.redis.execute("FLUSHALL", &[]).await.unwrap();
        for (key, value) in copy {
            self.redis.execute("RESTORE", &[key, b"0", value]).await.unwrap();
        }
    }

    async fn try_to_reserve(&self, name: &str, tail: u32) -> Reserved {
        let user: UserId = name.parse().unwrap();
        let wish = Wish {
            user: &user,
            quantity: 1,
            tail: format!("{tail:0>12}").parse().unwrap(),
            challenge: None,
            address: None,
        };
        self.engine().reserve(&lane(), &wish).await.unwrap().outcome
    }

    async fn audited(&self, sql: &Client) -> LaneAudit {
        audit(&self.engine(), sql, &lane(), NEVER).await.unwrap()
    }

    /// Rebuilds step by step, each by a worker that dies after it.
    async fn rebuild_in_steps(&self, sql: &Client, contradicts: bool) -> Rebuilt {
        let mut all = Rebuilt::default();
        for _ in 0..1_000 {
            let step = rebuild(&self.engine(), sql, &lane(), contradicts, Duration::ZERO).await.unwrap();
            all.orders += step.orders;
            all.retold += step.retold;
            all.cancelled += step.cancelled;
            all.ended += step.ended;
            if step.finished {
                return Rebuilt { finished: true, rebuilt: true, ..all };
            }
            let answer = self.try_to_reserve("u-eager", 999_999).await;
            assert_eq!(answer, Reserved::NotFound, "nobody gets a unit of a lane that is not whole");
        }
        panic!("it does not end");
    }
}

async fn a_lane_that_is_lost_comes_back_as_it_was(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    shop.offer(500).await;
    let mut chance = Chance(5);
    let mut orders: Vec<(OrderId, UserId)> = Vec::new();
    for number in 0..230 {
        orders.push(shop.order(number).await);
        for _ in 0..4 {
            let (order, user) = orders[chance.below(orders.len())].clone();
            shop.happen(&order, &user, &mut chance).await;
        }
    }
    shop.copy_all(&sql).await;
    let mut before = BTreeMap::new();
    for (order, _) in &orders {
        let (view, contact) = shop.engine().order(order, None).await.unwrap().unwrap();
        before.insert(order.to_string(), (view, serde_json::to_string(&contact).unwrap()));
    }
    let view = shop.engine().view(&lane()).await.unwrap().unwrap();
    assert_eq!(shop.audited(&sql).await.differences, Vec::<String>::new());
    // A hold, which only Redis knows.
    assert!(matches!(shop.try_to_reserve("u-holding", 1_000).await, Reserved::Held { .. }));

    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
    assert_eq!(standing(&shop.engine(), &sql, &lane()).await.unwrap(), Standing::Lost);
    assert!(shop.audited(&sql).await.differences[0].contains("lost"));
    assert!(
        !rebuild_unless_lost(&shop.engine(), &sql, &lane(), NEVER).await.unwrap().rebuilt,
        "not without being asked"
    );
    let rebuilt = shop.rebuild_in_steps(&sql, false).await;
    assert_eq!((rebuilt.orders, rebuilt.retold, rebuilt.ended), (230, 0, 0));
    assert_eq!(standing(&shop.engine(), &sql, &lane()).await.unwrap(), Standing::Sound);
    // Once more changes nothing.
    assert!(!rebuild(&shop.engine(), &sql, &lane(), false, NEVER).await.unwrap().rebuilt);

    for (order, _) in &orders {
        let (view, contact) = shop.engine().order(order, None).await.unwrap().unwrap();
        assert_eq!((view, serde_json::to_string(&contact).unwrap()), before[&order.to_string()]);
    }
    let again = shop.engine().view(&lane()).await.unwrap().unwrap();
    assert_eq!((again.total, again.ordered, again.sold), (500, view.ordered, view.sold));
    assert_eq!((again.held, again.available), (0, 500 - view.ordered - view.sold));
    assert_eq!(again.seq, read::written(&sql, &lane()).await.unwrap());
    let audit = shop.audited(&sql).await;
    assert_eq!((audit.differences, audit.complete, audit.rows), (Vec::new(), true, 230));

    // Caps hold, and the sale goes on where it was: new events follow those in the database.
    let (bought, buyer) = orders
        .iter()
        .find(|(order, _)| before[&order.to_string()].0.state == OrderState::Paid)
        .expect("somebody paid");
    let taken = before[&bought.to_string()].0.quantity;
    for number in 0..3 - taken {
        let answer = shop.try_to_reserve(buyer.as_str(), 2_000 + number).await;
        let Reserved::Held { id, .. } = answer else { panic!("{answer:?}") };
        shop.check_out(id.tail, buyer.clone()).await;
        // Paid, so that the next may be bought.
        let order = OrderId::new(lane(), format!("{:0>12}", 2_000 + number).parse::<Tail>().unwrap());
        shop.engine().pay(&order, buyer).await.unwrap();
        let payment = sale::ids::PaymentId { order, attempt: 1 };
        shop.engine().settle(&payment, PaymentOutcome::Succeeded, 9_900).await.unwrap();
    }
    let answer = shop.try_to_reserve(buyer.as_str(), 3_000).await;
    assert!(matches!(answer, Reserved::PurchaseLimit { taken: 3, .. }), "{answer:?}");
    shop.copy_all(&sql).await;
    assert_eq!(set_aside::count(&sql).await.unwrap(), 0);
    assert_eq!(shop.audited(&sql).await.differences, Vec::<String>::new());
}

async fn a_lane_from_an_old_copy_is_brought_forward_and_sells_nothing_twice(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    shop.offer(90).await;
    let mut chance = Chance(11);
    let (mut number, mut retold, mut cancelled, mut rebuilds) = (0, 0, 0, 0);
    let mut orders: Vec<(OrderId, UserId)> = Vec::new();
    for round in 0..12 {
        number += 1;
        let held = match shop.try_to_reserve("u-twice", number).await {
            Reserved::Held { id, .. } => Some((id, "u-twice".parse::<UserId>().unwrap())),
            _ => None,
        };
        let copy = shop.save().await;
        if let Some((id, user)) = held.clone() {
            orders.push(shop.check_out(id.tail, user).await);
        }
        // Much or little happens, all of which the database records; then Redis is as it was before.
        shop.run(&mut chance, &mut orders, &mut number, 40 + 40 * (round % 3)).await;
        shop.copy_all(&sql).await;
        shop.come_back_with(&copy).await;
        // The sale goes on before anybody notices, with units that are gone. One hold is checked out once more.
        let unnoticed = [0, 10, 60][chance.below(3)];
        shop.run(&mut chance, &mut orders, &mut number, unnoticed).await;
        if let Some((id, user)) = held.filter(|_| round % 2 == 0) {
            orders.push(shop.check_out(id.tail, user).await);
        }
        let copied = order_ledger::copy(&shop.engine(), &sql, &lane(), 500).await.unwrap();
        let behind = standing(&shop.engine(), &sql, &lane()).await.unwrap() == Standing::Behind;
        assert!(behind || copied.events.contradicts, "round {round}: it is noticed");
        let rebuilt = shop.rebuild_in_steps(&sql, copied.events.contradicts).await;
        (retold, cancelled, rebuilds) =
            (retold + rebuilt.retold, cancelled + rebuilt.cancelled, rebuilds + 1);
        shop.copy_all(&sql).await;
        let audit = shop.audited(&sql).await;
        assert_eq!((audit.differences, audit.complete), (Vec::new(), true), "round {round}");
        let counters = audit.counters.unwrap();
        assert!(counters.available >= 0, "round {round}: {counters:?}");
        assert_eq!(set_aside::count(&sql).await.unwrap(), 0, "round {round}");
        for row in recorded::orders_of_lane(&sql, &lane(), None, 10_000).await.unwrap() {
            let known = shop.engine().order(&row.order.id, None).await.unwrap().map(|(order, _)| order);
            assert_eq!(known, Some(row.order), "round {round}");
        }
    }
    assert!(
        retold > 0 && cancelled > 0 && retold > cancelled,
        "{retold} told again, {cancelled} of them cancelled"
    );
    assert_eq!(rebuilds, 12);
}

impl Shop {
    /// Orders are made while there is stock, and things happen to them.
    async fn run(
        &mut self,
        chance: &mut Chance,
        orders: &mut Vec<(OrderId, UserId)>,
        number: &mut u32,
        steps: u32,
    ) {
        for _ in 0..steps {
            *number += 1;
            let user = format!("u-{}", 1 + chance.below(60));
            if let Reserved::Held { id, .. } = self.try_to_reserve(&user, *number).await
                && chance.below(5) > 0
            {
                orders.push(self.check_out(id.tail, user.parse().unwrap()).await);
            }
            if !orders.is_empty() {
                let recent = orders.len().saturating_sub(20);
                let (order, user) = orders[recent + chance.below(orders.len() - recent)].clone();
                self.happen(&order, &user, chance).await;
            }
        }
    }
}

async fn a_power_cut_costs_neither_holds_nor_the_queue(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(5).await;
    let (first, buyer) = shop.order(0).await;
    let Reserved::Held { id: held, .. } = shop.try_to_reserve("u-held", 50).await else { panic!() };
    shop.copy_all(&sql).await;
    // The last second is lost, of which the database has a payment.
    let copy = shop.save().await;
    shop.engine().pay(&first, &buyer).await.unwrap();
    let payment = sale::ids::PaymentId { order: first.clone(), attempt: 1 };
    shop.engine().settle(&payment, PaymentOutcome::Succeeded, 9_900).await.unwrap();
    shop.copy_all(&sql).await;
    shop.come_back_with(&copy).await;

    let rebuilt = rebuild_unless_lost(&shop.engine(), &sql, &lane(), NEVER).await.unwrap();
    assert!(rebuilt.rebuilt && rebuilt.finished, "without being asked");
    assert_eq!(rebuilt.ended, 0);
    let polled = shop.engine().poll(&held, &"u-held".parse().unwrap(), false).await.unwrap().outcome;
    let Polled::Found(ReservationView { state, .. }) = polled else { panic!("{polled:?}") };
    assert_eq!(state, sale::reservation::ReservationState::Held);
    assert_eq!(shop.engine().order(&first, None).await.unwrap().unwrap().0.state, OrderState::Paid);
    let audit = shop.audited(&sql).await;
    assert_eq!(audit.differences, Vec::<String>::new());
    let counters = audit.counters.unwrap();
    assert_eq!((counters.held, counters.sold, counters.available), (1, 1, 3));
}

async fn an_audit_names_every_row_that_differs(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(50).await;
    let mut orders = Vec::new();
    for number in 0..6 {
        orders.push(shop.order(number).await.0);
    }
    shop.copy_all(&sql).await;
    assert_eq!(shop.audited(&sql).await.differences, Vec::<String>::new());
    let keys = LaneKeys::of(&lane());
    let tail = |number: usize| orders[number].tail.as_str().to_owned();
    // One is lost in Redis, one is another's, one has another state, one another deadline; and a counter is off.
    shop.number("HDEL", &[&keys.orders(), &tail(0)]).await;
    shop.number("HDEL", &[&keys.reservations(), &tail(0)]).await;
    let record = |state: &str, user: &str, quantity: u32| {
        format!("{state}|{user}|{quantity}|9900|CNY|{0}|{1}|0|0||0", shop.now, shop.now + 300_000)
    };
    shop.number("HSET", &[&keys.orders(), &tail(1), &record("unpaid", "u-thief", 2)]).await;
    shop.number("HSET", &[&keys.orders(), &tail(2), &record("cancelled", "u-2", 3)]).await;
    shop.number("ZADD", &[&keys.deadlines(), "1", &tail(3)]).await;
    shop.number("HINCRBY", &[&keys.lane(), "sold", "1"]).await;
    let audit = shop.audited(&sql).await;
    let has = |what: &str| audit.differences.iter().any(|difference| difference.contains(what));
    for what in [
        format!("{}: the engine does not have it", orders[0]),
        format!("{}: shoppers differ", orders[1]),
        format!("{}: cancelled in the engine, unpaid in the order database", orders[2]),
        format!("{}: the order has another deadline", orders[3].reservation()),
        "1 units in paid orders, 0 by the events".to_owned(),
        "available + held + ordered + sold".to_owned(),
    ] {
        assert!(has(&what), "{what}: {:#?}", audit.differences);
    }
    for sound in [4, 5] {
        assert!(!has(orders[sound].tail.as_str()), "{:#?}", audit.differences);
    }
}

async fn an_audit_beside_a_busy_sale_finds_nothing(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    shop.offer(2_000).await;
    let mut chance = Chance(3);
    let mut orders = Vec::new();
    for number in 0..700 {
        orders.push(shop.order(number).await);
    }
    let auditing = world.ledger().await;
    let copying = world.ledger().await;
    let engine = shop.engine();
    let copier = shop.engine();
    let done = std::cell::Cell::new(false);
    let busy = async {
        let mut steps = 0;
        while !done.get() {
            let (order, user) = orders[chance.below(orders.len())].clone();
            shop.happen(&order, &user, &mut chance).await;
            steps += 1;
        }
        steps
    };
    let copies = async {
        while !done.get() {
            // Waiting for another's lock longer than its patience is no failure.
            let _ = copy(&copier, &copying, &lane(), 50).await;
            tokio::task::yield_now().await;
        }
    };
    let audits = async {
        for _ in 0..5 {
            let audit = audit(&engine, &auditing, &lane(), NEVER).await;
            // On SQLite the copier may hold the lock for longer than the patience of a test.
            let Ok(audit) = audit else { continue };
            assert_eq!(audit.differences, Vec::<String>::new());
            assert!(audit.complete && audit.compared + audit.moving >= 700, "{audit:?}");
        }
        done.set(true);
    };
    let ((), (), steps) = tokio::join!(audits, copies, busy);
    assert!(steps > 0);
    drop(sql);
}

/// Orders of the large rebuild. `STAMPEDE_REBUILD_ORDERS=100000` is the size of a large sale.
fn orders_to_rebuild() -> u32 {
    std::env::var("STAMPEDE_REBUILD_ORDERS").ok().and_then(|text| text.parse().ok()).unwrap_or(650)
}

/// A lane with `count` unpaid orders of two units each, which the database has and Redis lost.
async fn lose_a_lane(shop: &Shop, sql: &Client, count: u32) {
    shop.offer(3 * i64::from(count)).await;
    shop.copy_all(sql).await;
    let mut outbox = Outbox::after(read::written(sql, &lane()).await.unwrap());
    let entries: Vec<_> = (0..count).map(|number| outbox.created(&mut Told::new(number))).collect();
    for some in entries.chunks(1_000) {
        assert_eq!(apply(sql, &lane(), some).await.unwrap().applied, some.len());
    }
    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
}

async fn a_rebuild_ends_by_alarms_and_ticks_alone_though_each_worker_dies_after_one_step(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let count = orders_to_rebuild();
    lose_a_lane(&shop, &sql, count).await;
    let mut bell = shop.server.listen(&[LEDGER_DOORBELL]).await;
    // The operator asks once. From here on nobody but alarms and ticks knows of the lane.
    let mut step = rebuild(&shop.engine(), &sql, &lane(), false, Duration::ZERO).await.unwrap();
    assert_eq!(bell.expect().await, lane().to_string(), "an unfinished rebuild rings for the next worker");
    drop(bell);
    let alarm = LaneKeys::of(&lane()).alarm();
    let (mut orders, mut steps) = (step.orders, 1);
    while !step.finished {
        assert!(shop.number("PTTL", &[&alarm]).await > 0, "an unfinished rebuild keeps an alarm");
        // The alarm lapses. Every other one is heard, and each bell is lost.
        shop.number("DEL", &[&alarm]).await;
        if steps % 2 == 0 {
            work::lapse(&shop.engine(), &lane()).await.unwrap();
        }
        let lanes = work::lanes(&shop.engine()).await.unwrap();
        assert_eq!(lanes, [lane()], "step {steps}: a lane that is being rebuilt is not forgotten");
        step = if steps % 3 == 0 {
            // The ledger, by a bell with the lane's name.
            go_on(&shop.engine(), &sql, &lanes[0], Duration::ZERO).await.unwrap()
        } else {
            // A tick.
            work::lapse(&shop.engine(), &lanes[0]).await.unwrap();
            rebuild_unless_lost(&shop.engine(), &sql, &lanes[0], Duration::ZERO).await.unwrap()
        };
        assert!(step.rebuilt || step.finished);
        orders += step.orders;
        steps += 1;
    }
    assert_eq!(orders, u64::from(count));
    assert!(steps > count / 100, "{steps} workers");
    assert_eq!(standing(&shop.engine(), &sql, &lane()).await.unwrap(), Standing::Sound);
    let view = shop.engine().view(&lane()).await.unwrap().unwrap();
    assert_eq!((view.ordered, view.available), (2 * i64::from(count), i64::from(count)));
    assert!(go_on(&shop.engine(), &sql, &lane(), NEVER).await.unwrap().finished);
    assert_eq!(shop.audited(&sql).await.differences, Vec::<String>::new());
}

impl Shop {
    /// Redis loses what `after` does, which the database records.
    async fn forget(&self, sql: &Client, after: impl AsyncFnOnce()) {
        self.copy_all(sql).await;
        let copy = self.save().await;
        after().await;
        self.copy_all(sql).await;
        self.come_back_with(&copy).await;
    }

    /// The lane is rebuilt, because its events contradict the written ones; then everything is copied and audited.
    async fn rebuild_and_audit(&self, sql: &Client) -> Rebuilt {
        let contradicts = copy(&self.engine(), sql, &lane(), 500).await.unwrap().events.contradicts;
        let rebuilt = self.rebuild_in_steps(sql, contradicts).await;
        self.copy_all(sql).await;
        assert_eq!(set_aside::count(sql).await.unwrap(), 0);
        assert_eq!(self.audited(sql).await.differences, Vec::<String>::new());
        rebuilt
    }

    async fn fields<const COUNT: usize>(&self, names: [&str; COUNT]) -> [String; COUNT] {
        let key = LaneKeys::of(&lane()).lane();
        let arguments: Vec<&[u8]> = [&*key].into_iter().chain(names).map(str::as_bytes).collect();
        let values = self.redis.execute("HMGET", &arguments).await.unwrap();
        std::array::from_fn(|at| values[at].text().unwrap_or_default().into_owned())
    }
}

async fn every_decision_that_an_operator_made_after_redis_came_back_holds(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(500).await;
    shop.order(1).await;
    shop.forget(&sql, async || {
        shop.order(2).await;
    })
    .await;
    // Each of these calls is answered 200 before anybody notices that Redis is behind.
    shop.offer(300).await;
    let mut terms = terms();
    terms.price = Money::new(8_800, Currency::parse("CNY").unwrap());
    terms.per_user_limit = 4;
    terms.rules = VersionedRules {
        rules: LaneRules { units_per_second: 7, queue_factor: 9, ..LaneRules::NONE },
        ..VersionedRules::NONE
    };
    shop.engine().publish(&lane(), 500, &terms).await.unwrap();
    shop.engine().switch(&lane(), Switch::Paused).await.unwrap();

    shop.rebuild_and_audit(&sql).await;
    let names = ["total", "price", "cap", "queue_factor", "rates", "switch"];
    assert_eq!(shop.fields(names).await, ["300", "8800", "4", "9", "0|0|0|0|7", "paused"]);
    let offer = recorded::latest_offer(&sql, &lane()).await.unwrap().unwrap();
    assert_eq!((offer.total, offer.price, offer.cap, offer.switch), (300, 8_800, 4, Switch::Paused));
    assert_eq!((offer.queue_factor, offer.rates.as_str()), (9, "0|0|0|0|7"), "the next rebuild knows them");
}

async fn a_decision_on_an_old_copy_leaves_what_it_did_not_change(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(500).await;
    shop.forget(&sql, async || shop.offer(40).await).await;
    // Many more events stand before the decision than one page has.
    for number in 0..120 {
        shop.order(number).await;
    }
    shop.engine().switch(&lane(), Switch::Paused).await.unwrap();
    shop.rebuild_and_audit(&sql).await;
    assert_eq!(shop.fields(["total", "switch"]).await, ["40", "paused"], "the cut and the pause");
}

async fn a_cut_of_the_stock_is_never_below_what_is_taken_and_cancels_what_no_longer_fits(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(500).await;
    shop.forget(&sql, async || {
        // Six orders of two units each.
        for number in [1, 4, 7, 10, 13, 16] {
            shop.order(number).await;
        }
    })
    .await;
    let (retold, _) = shop.order(19).await;
    shop.offer(8).await;
    let rebuilt = shop.rebuild_and_audit(&sql).await;
    assert_eq!((rebuilt.retold, rebuilt.cancelled), (1, 1));
    assert_eq!(shop.engine().order(&retold, None).await.unwrap().unwrap().0.state, OrderState::Cancelled);
    let view = shop.engine().view(&lane()).await.unwrap().unwrap();
    assert_eq!((view.total, view.ordered, view.available), (12, 12, 0));
}

async fn a_closed_item_stays_closed_whatever_an_older_copy_allowed(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.offer(500).await;
    shop.forget(&sql, async || {
        shop.engine().switch(&lane(), Switch::Closed).await.unwrap();
    })
    .await;
    shop.engine().switch(&lane(), Switch::Paused).await.unwrap();
    shop.rebuild_and_audit(&sql).await;
    assert_eq!(shop.fields(["switch"]).await, ["closed"]);
}
