use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stampede_tests::{Item, ItemTerms, Shopper, World, crowd, eventually, meanwhile, orders_in};

use crate::provider::{Provider, pay};

const ORDERS: usize = 200;
const PRICE: i64 = 39900;
const PAY_SECONDS: u64 = 8;

/// The same numbers in every run with the same seed: xorshift, good enough to shuffle.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// A webhook about a payment, forged or not, and when it is sent.
struct Message {
    payment: Value,
    kind: &'static str,
    forged: bool,
    at: Duration,
}

/// The webhooks that may come about one shopper's payments, in any order and more than once.
fn messages(chance: &mut Chance, payments: &[Value]) -> Vec<Message> {
    let mut messages = Vec::new();
    for payment in payments {
        // In time, or around the deadline, or after it.
        let kinds: &[&str] = match chance.below(10) {
            0 => &[],
            1 | 2 => &["payment.failed"],
            3 => &["payment.failed", "payment.succeeded"],
            _ => &["payment.succeeded"],
        };
        for kind in kinds {
            for _ in 0..1 + chance.below(3) {
                let at = match chance.below(4) {
                    0 => PAY_SECONDS * 1_000 + chance.below(4_000),
                    1 => PAY_SECONDS * 1_000 - 500 + chance.below(1_000),
                    _ => chance.below(4_000),
                };
                let forged = chance.below(5) == 0;
                messages.push(Message {
                    payment: payment.clone(),
                    kind,
                    forged,
                    at: Duration::from_millis(at),
                });
            }
        }
        // Somebody else says it was paid, or that it was less.
        if chance.below(3) == 0 {
            let at = Duration::from_millis(chance.below(6_000));
            messages.push(Message { payment: payment.clone(), kind: "payment.succeeded", forged: true, at });
        }
    }
    messages
}

/// From nothing to an order with one or two payments.
async fn order(shopper: &Shopper, provider: &Provider, item: &Item, twice: bool) -> (Value, Vec<Value>) {
    let reservation = shopper.insist_on_reservation(item).await;
    let held = shopper.result(&reservation).await;
    let order = shopper.checkout(&held).await.expect(201);
    let mut payments = vec![pay(shopper, &order).await];
    if twice {
        provider.tell(&payments[0], "payment.failed", PRICE).insist().await.expect(200);
        payments.push(pay(shopper, &order).await);
    }
    (order, payments)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_ends_legally_and_is_recorded_once_whatever_webhooks_come_and_hosts_die() {
    let seed = std::env::var("STAMPEDE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
    });
    println!("the seed is {seed}: STAMPEDE_SEED={seed} makes the same choices again");
    let chance = RefCell::new(Chance(seed | 1));
    let mut world = World::builder().unchecked().set("pay_seconds", PAY_SECONDS).start().await;
    let mut other = world.start_another_host().await;
    let bases = [world.host.base(), other.base()];
    let (seller, provider) = (world.seller(), Provider::of(&world));
    let item = seller.publish(&ItemTerms::of(ORDERS as i64 + 20)).await;
    let client = world.client();
    let shoppers = crowd(ORDERS, 32, |number| {
        let client = client.at(&bases[number % 2]);
        async move { Shopper::arrive(&client).await }
    })
    .await;
    let expected_forgeries = RefCell::new(0);
    let begun = Instant::now();

    let work = crowd(ORDERS, 40, |number| {
        let (shopper, provider, item) =
            (shoppers[number].clone(), provider.at(&bases[number % 2]), item.clone());
        let (chance, forgeries) = (&chance, &expected_forgeries);
        async move {
            let twice = chance.borrow_mut().below(3) == 0;
            let (order, payments) = order(&shopper, &provider, &item, twice).await;
            let made = Instant::now();
            let mut plan = messages(&mut chance.borrow_mut(), &payments);
            plan.sort_by_key(|message| message.at);
            let cancels = chance.borrow_mut().below(6) == 0;
            for message in plan {
                tokio::time::sleep(message.at.saturating_sub(made.elapsed())).await;
                if message.forged {
                    let response = provider.forge(&message.payment, message.kind, PRICE).insist().await;
                    response.expect_problem(401, "bad-signature");
                    provider
                        .tell(&message.payment, message.kind, PRICE - 1)
                        .insist()
                        .await
                        .expect_problem(422, "invalid");
                    *forgeries.borrow_mut() += 1;
                } else {
                    // A host that dies before it responds leaves the provider to send the webhook again.
                    provider.tell(&message.payment, message.kind, PRICE).insist().await.expect(200);
                }
                if cancels && chance.borrow_mut().below(3) == 0 {
                    let path = format!("/api/orders/{}/cancel", order["id"].as_str().unwrap());
                    let response = shopper.client().post(&path).insist().await;
                    assert!(matches!(response.status, 200 | 409), "{response}");
                }
            }
            order
        }
    });
    // Every now and then one of the two hosts dies, with all its workers.
    let host = &mut world.host;
    let (orders, kills) = meanwhile(work, usize::MAX, async || {
        let (wait, which) = {
            let mut chance = chance.borrow_mut();
            (Duration::from_millis(500 + chance.below(3_000)), chance.below(2))
        };
        tokio::time::sleep(wait).await;
        if which == 0 { host.restart().await } else { other.restart().await }
    })
    .await;
    assert!(kills > 1, "nobody was killed in {:?}", begun.elapsed());
    assert!(*expected_forgeries.borrow() > 0);
    assert_eq!(orders.len(), ORDERS);

    // Every deadline passes, and the units of lapsed holds and orders go back.
    let state = world.state_folder().to_owned();
    eventually("no order waits for its money", Duration::from_secs(60), async || {
        let rows = orders_in(&state);
        (rows.len() == ORDERS && rows.iter().all(|row| row.state != "unpaid")).then_some(())
    })
    .await;
    seller.audit(&item).await;
    let operator = seller.client();
    eventually("all that is due went back", Duration::from_secs(60), async || {
        let due = operator.get("/api/admin/refunds?page_size=100").insist().await.expect(200);
        for refund in due["refunds"].as_array().unwrap() {
            let path = format!("/api/admin/payments/{}/refund", refund["payment_id"].as_str().unwrap());
            operator.post(&path).insist().await.expect(200);
        }
        (due["total"] == 0).then_some(())
    })
    .await;

    let mut states = BTreeMap::<String, usize>::new();
    for row in orders_in(&state) {
        *states.entry(row.state).or_default() += 1;
    }
    println!("{kills} kills, {states:?}");
    assert!(
        states.keys().all(|state| ["paid", "cancelled", "timed_out", "refunded"].contains(&state.as_str())),
        "{states:?}"
    );
    let counters = seller.counters(&item).await;
    counters.assert_conserved();
    assert_eq!((counters.held, counters.ordered), (0, 0));
    assert_eq!(counters.sold, states.get("paid").copied().unwrap_or(0) as i64);
    let audit = seller.audit(&item).await;
    let lane = &audit["lanes"][0];
    assert_eq!(lane["events"], lane["written"]);
    let database = rusqlite::Connection::open(state.join("sqlite_db.db")).unwrap();
    let count = |what: &str| database.query_row(what, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM events"), lane["written"].as_i64().unwrap(), "each event once");
    assert_eq!(count("SELECT count(*) FROM set_aside"), 0);
    assert_eq!(
        count("SELECT count(*) FROM payments WHERE state = 'succeeded'"),
        counters.sold,
        "money that came and stays has bought a unit"
    );
}
