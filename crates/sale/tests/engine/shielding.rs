//! The filter of the shoppers who got units, by which functions refuse a crowd without Redis: it misses nobody.

use crate::shop::{HOLD_MS, PAY_MS, Shop, user};
use futures::future::join_all;
use sale::Engine;
use sale::holders::FilterPart;
use sale::ids::UserId;
use sale::item::{Mode, Offer, Switch};
use sale::money::Currency;
use sale::scripts::{Holders, PaymentOutcome, Rebuilding, Released, Reserved, StockChange, Wish};
use sale::store::Reply;

impl Shop {
    async fn shown(&self, name: &str) -> Holders {
        self.engine().show_holders(&self.lane, &user(name)).await.unwrap()
    }

    /// Whether a mark that is made now lets `name` go on to Redis.
    async fn goes_on(&self, name: &str) -> bool {
        match self.shown(name).await {
            Holders::SoldOut(part) => part.may_contain(&user(name)),
            Holders::Available => true,
        }
    }

    async fn field(&self, name: &str) -> i64 {
        self.redis.number("HGET", &[&self.keys.lane(), name]).await
    }

    /// Gives each of these shoppers a unit, many at a time.
    pub async fn hold_all(&self, names: impl Iterator<Item = String>) {
        let connections = self.server.connect_many(8).await;
        let names: Vec<String> = names.collect();
        for chunk in names.chunks(400) {
            let wishes = chunk.iter().zip(connections.iter().cycle()).map(async |(name, redis)| {
                let user: UserId = name.parse().unwrap();
                let wish =
                    Wish { user: &user, quantity: 1, tail: self.tail(), challenge: None, address: None };
                Engine::at(redis, self.now()).reserve(&self.lane, &wish).await.unwrap().outcome
            });
            for outcome in join_all(wishes).await {
                assert!(matches!(outcome, Reserved::Held { .. } | Reserved::Queued { .. }), "{outcome:?}");
            }
        }
        sale::work::drain(&self.engine(), &self.lane, 1_000).await.unwrap();
    }
}

fn names(from: u32, to: u32) -> impl Iterator<Item = String> {
    (from..to).map(|n| format!("shopper{n}"))
}

async fn instant(total: i64) -> Shop {
    Shop::with(total, |terms| terms.mode = Mode::Instant).await
}

#[tokio::test]
async fn a_holder_goes_on_and_a_stranger_does_not_once_all_is_taken_and_nobody_waits() {
    let shop = Shop::open(2).await;
    shop.held("ann").await;
    assert_eq!(shop.shown("ann").await, Holders::Available);
    shop.ordered("bob").await;
    for (name, goes_on) in [("ann", true), ("bob", true), ("cat", false)] {
        assert_eq!(shop.goes_on(name).await, goes_on, "{name}");
    }
    shop.stock(StockChange::Add(1)).await;
    assert_eq!(shop.shown("cat").await, Holders::Available);
    shop.queued("cat").await;
    shop.stock(StockChange::Add(-1)).await;
    assert_eq!(shop.shown("dan").await, Holders::Available, "cat waits and is not noted");
    shop.grant().await;
    assert!(!shop.goes_on("cat").await, "cat got nothing");
    let nobody = "izzzzzzzzzz:0".parse().unwrap();
    assert_eq!(shop.engine().show_holders(&nobody, &user("ann")).await.unwrap(), Holders::Available);
}

#[tokio::test]
async fn a_wish_that_is_decided_at_once_is_noted_too() {
    let shop = instant(1).await;
    assert!(matches!(shop.reserve("ann", 1).await, Reserved::Held { .. }));
    assert!(shop.goes_on("ann").await);
    assert!(!shop.goes_on("bob").await);
}

/// Which of the shoppers have a reservation that is alive.
async fn alive(shop: &Shop, count: u32) -> Vec<String> {
    let mut alive = Vec::new();
    for name in names(0, count) {
        if shop.engine().alive(&shop.lane, &user(&name)).await.unwrap().is_some() {
            alive.push(name);
        }
    }
    alive
}

#[tokio::test]
async fn nobody_who_has_something_is_refused_whatever_is_released_cancelled_lapsed_and_restocked() {
    const SHOPPERS: u32 = 12;
    let mut seed = 20_261_121_u64;
    let mut chance = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut refusals = 0;
    for walk in 0..6 {
        let shop =
            Shop::with(4, |terms| terms.mode = if walk % 2 == 0 { Mode::Instant } else { Mode::Queued })
                .await;
        for _ in 0..60 {
            let name = format!("shopper{}", chance(u64::from(SHOPPERS)));
            let own = shop.engine().alive(&shop.lane, &user(&name)).await.unwrap();
            match (chance(10), own) {
                (0..5, None) => drop(shop.reserve(&name, 1).await),
                (0..2, Some(id)) => {
                    shop.engine().release(&id, &user(&name)).await.unwrap();
                }
                (2..4, Some(id)) => {
                    let contact = crate::shop::contact();
                    drop(shop.engine().checkout(&id, &user(&name), &contact).await.unwrap());
                }
                (4, Some(id)) => drop(shop.engine().cancel(&id.order(), &user(&name)).await.unwrap()),
                (5, _) => {
                    shop.stock(StockChange::Add(chance(3) as i64 - 1)).await;
                }
                (6, _) => {
                    shop.advance(if chance(2) == 0 { HOLD_MS } else { PAY_MS });
                    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
                }
                // Make the filter again, as after many returns.
                (7, _) => {
                    drop(shop.redis.command("HSET", &[&shop.keys.lane(), "holder_notes", "9000"]).await)
                }
                _ => {
                    shop.grant().await;
                }
            }
            let alive = alive(&shop, SHOPPERS).await;
            for name in names(0, SHOPPERS) {
                let goes_on = shop.goes_on(&name).await;
                refusals += u32::from(!goes_on);
                assert!(goes_on || !alive.contains(&name), "{name} has a reservation and is refused");
            }
        }
    }
    assert!(refusals > 100, "{refusals} refusals");
}

#[tokio::test]
async fn a_rebuilt_lane_notes_its_orders_and_holds_again() {
    let shop = Shop::open(3).await;
    shop.held("gone").await;
    let payment = shop.paying("paid").await;
    let order = shop.settled(&payment, PaymentOutcome::Succeeded).await;
    let unpaid = shop.ordered("unpaid").await;
    let offer = Offer {
        switch: Switch::Open,
        total: 3,
        starts_at: crate::shop::STARTS,
        ends_at: crate::shop::ENDS,
        cap: 1,
        mode: Mode::Queued,
        price: crate::shop::PRICE,
        currency: Currency::parse("CNY").unwrap(),
        hold_ms: HOLD_MS,
        pay_ms: PAY_MS,
        queue_factor: 100,
        purge_at: crate::shop::ENDS + 1,
        rates: "0|0|0|0|0".to_owned(),
        paused_by_rules: false,
    };
    // The filter is lost with the lane.
    shop.redis.command("DEL", &[&shop.keys.lane(), &shop.keys.holders(), &shop.keys.outbox()]).await;
    let engine = shop.engine();
    engine.begin_rebuild(&shop.lane, 5, false, &offer).await.unwrap();
    let restored = [order, unpaid].map(|order| sale::scripts::Restored {
        order,
        attempts: 1,
        contact: Some(crate::shop::contact()),
        keep: false,
    });
    engine.rebuild_orders(&shop.lane, "", &restored, true).await.unwrap();
    let page = sale::scripts::PassedPage { cursor: "", next: "", is_last: true };
    engine.rebuild_decisions(&shop.lane, page, &Default::default()).await.unwrap();
    engine.pass_untold(&shop.lane, page).await.unwrap();
    while engine.rebuild_holds(&shop.lane, 10).await.unwrap() != Rebuilding::Ready {}
    assert_eq!(engine.finish_rebuild(&shop.lane).await.unwrap(), Some(0));
    for (name, goes_on) in [("gone", true), ("paid", true), ("unpaid", true), ("stranger", false)] {
        assert_eq!(shop.goes_on(name).await, goes_on, "{name}");
    }
}

#[tokio::test]
async fn a_lane_from_before_there_were_filters_gets_one() {
    let shop = instant(600).await;
    shop.hold_all(names(0, 600)).await;
    // What an earlier version left.
    shop.redis.command("HDEL", &[&shop.keys.lane(), "holder_parts", "holder_notes"]).await;
    shop.redis.command("DEL", &[&shop.keys.holders()]).await;
    for name in names(0, 600) {
        assert!(shop.goes_on(&name).await, "{name}");
    }
    assert!(!shop.goes_on("stranger").await);
    assert_eq!(shop.field("holder_parts").await, 1);
    assert_eq!(shop.field("holder_notes").await, 600);
}

#[tokio::test]
async fn a_lane_that_is_published_again_over_what_is_left_misses_nobody() {
    let shop = instant(5_000).await;
    shop.hold_all(names(0, 20)).await;
    shop.redis.command("DEL", &[&shop.keys.lane()]).await;
    shop.engine().publish(&shop.lane, 0, &crate::shop::terms()).await.unwrap();
    for name in names(0, 20) {
        assert!(shop.goes_on(&name).await, "{name}");
    }
    assert!(!shop.goes_on("stranger").await);
}

#[tokio::test]
async fn a_filter_full_of_shoppers_who_left_is_made_again_and_keeps_those_who_stayed() {
    let shop = instant(3).await;
    let stays = ["ann", "bob"];
    for name in stays {
        assert!(matches!(shop.reserve(name, 1).await, Reserved::Held { .. }));
    }
    for name in names(0, 4_200) {
        let Reserved::Held { id, .. } = shop.reserve(&name, 1).await else { panic!() };
        assert_eq!(shop.engine().release(&id, &user(&name)).await.unwrap(), Released::Done);
    }
    assert!(matches!(shop.reserve("cat", 1).await, Reserved::Held { .. }));
    assert_eq!(shop.field("holder_notes").await, 4_203);
    assert!(!shop.goes_on("stranger").await);
    assert_eq!(shop.field("holder_notes").await, 3, "it was made again");
    for name in stays.into_iter().chain(["cat"]) {
        assert!(shop.goes_on(name).await, "{name}");
    }
    assert!(!shop.goes_on("shopper17").await, "who left long ago is forgotten");
}

#[tokio::test]
async fn a_filter_that_is_made_again_page_by_page_misses_nobody_who_comes_meanwhile() {
    let shop = instant(1_200).await;
    shop.hold_all(names(0, 1_200)).await;
    shop.redis.command("HSET", &[&shop.keys.lane(), "holder_notes", "9000"]).await;
    // One page at a time, and between two pages somebody leaves and another gets the unit.
    let show = async || {
        let keys = [shop.keys.lane(), shop.keys.users(), shop.keys.queue(), shop.keys.holders()];
        let script = sale::scripts::ALL.iter().find(|script| script.name == "show_holders").unwrap();
        let mut words = vec![script.source(), "4".to_owned()];
        words.extend(keys);
        words.extend(["", &shop.lane.to_string(), "g", "l", "ann", "100"].map(str::to_owned));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        shop.redis.command("EVAL", &words).await[1].int().unwrap()
    };
    let mut pages = 1;
    while show().await == 1 {
        let leaver = format!("shopper{}", 7 * pages);
        let id = shop.engine().alive(&shop.lane, &user(&leaver)).await.unwrap().unwrap();
        shop.engine().release(&id, &user(&leaver)).await.unwrap();
        let comer = format!("comer{pages}");
        assert!(matches!(shop.reserve(&comer, 1).await, Reserved::Held { .. }));
        let present = shop.redis.command("GETRANGE", &[&shop.keys.holders(), "0", "8191"]).await.remove(0);
        let Reply::Binary(bits) = present else { panic!("{present:?}") };
        assert!(FilterPart::new(1, 0, bits).may_contain(&user(&comer)), "{comer}, by the present filter");
        pages += 1;
    }
    assert!(pages > 5, "{pages} pages");
    for page in 1..pages {
        assert!(shop.goes_on(&format!("comer{page}")).await, "comer{page}");
    }
    let gone: Vec<u32> = (1..pages).map(|page| 7 * page).collect();
    for n in (0..1_200).filter(|n| !gone.contains(n)) {
        assert!(shop.goes_on(&format!("shopper{n}")).await, "shopper{n}");
    }
}

#[tokio::test]
async fn a_mark_costs_the_same_for_ten_holders_and_for_many() {
    let mut costs = Vec::new();
    for total in [10, 60_000] {
        let shop = instant(i64::from(total)).await;
        shop.hold_all(names(0, total)).await;
        // The script is loaded.
        shop.shown("ann").await;
        shop.redis.command("CONFIG", &["RESETSTAT"]).await;
        let Holders::SoldOut(part) = shop.shown("bob").await else { panic!() };
        assert!(part.bits().len() <= 8_192);
        let stats = shop.redis.texts("INFO", &["commandstats"]).await.remove(0);
        let mut calls: Vec<(String, u64)> = stats
            .lines()
            .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
            .filter(|(name, _)| !name.starts_with("config") && !name.starts_with("info"))
            .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
            .collect();
        calls.sort();
        costs.push(calls);
    }
    assert_eq!(costs[0], costs[1]);
    let total: u64 = costs[0].iter().map(|(_, calls)| calls).sum();
    assert!(total <= 6, "{costs:?}");
}

#[tokio::test]
async fn strangers_are_refused_however_many_hold_and_after_the_stock_has_grown() {
    let shop = instant(100).await;
    shop.hold_all(names(0, 100)).await;
    assert_eq!(shop.field("holder_parts").await, 1);
    shop.stock(StockChange::Add(29_900)).await;
    shop.hold_all(names(100, 30_000)).await;
    let refused = async || {
        let mut refused = 0;
        for name in names(1_000_000, 1_001_000) {
            refused += u32::from(!shop.goes_on(&name).await);
        }
        refused
    };
    let share = refused().await;
    assert!(share > 980, "{share} of 1,000 strangers are refused");
    assert_eq!(shop.field("holder_parts").await, 8);
    for name in names(0, 30_000).step_by(97) {
        assert!(shop.goes_on(&name).await, "{name}");
    }
}
