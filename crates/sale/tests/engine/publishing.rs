//! Publishing and changing an item, cut off between any two steps: the next call or tick brings it to the new state.

use crate::shop::{ENDS, PRICE, Shop, terms};
use sale::catalogue::{Documents, Item, Sale};
use sale::ids::Lane;
use sale::item::{LANES, Mode, Terms};
use sale::keys::{LANES as KNOWN_LANES, UNFINISHED};
use sale::money::Money;
use sale::publishing::{self, Marker, Purpose};
use sale::scripts::{Published, Saved};
use sale::time::Timestamp;
use sale::work;

fn sale() -> Sale {
    Sale {
        id: "sabcdefghij".parse().unwrap(),
        title: "Sprint".into(),
        description: String::new(),
        starts_at: terms().starts_at,
        ends_at: terms().ends_at,
        archived: false,
        version: 1,
    }
}

fn draft(lane: &Lane) -> Item {
    let terms = terms();
    Item {
        id: lane.item.clone(),
        sale_id: sale().id,
        title: "Keyboard".into(),
        subtitle: String::new(),
        description: String::new(),
        image: String::new(),
        list_price: terms.price.clone(),
        sale_price: terms.price,
        stock: 5,
        per_user_limit: 1,
        mode: Mode::Queued,
        starts_at: terms.starts_at,
        ends_at: terms.ends_at,
        lanes: LANES,
        published: false,
        archived: false,
        version: 1,
    }
}

fn terms_of(item: &Item) -> Terms {
    Terms { version: item.version, price: item.sale_price.clone(), ends_at: item.ends_at, ..terms() }
}

impl Shop {
    /// A shop with a draft.
    async fn drafting() -> (Shop, Item) {
        let shop = Shop::empty().await;
        let item = draft(&shop.lane);
        assert_eq!(shop.engine().save_document(&sale(), 0).await.unwrap(), Saved::Done);
        assert_eq!(shop.engine().save_document(&item, 0).await.unwrap(), Saved::Done);
        (shop, item)
    }

    /// Takes the first `steps` steps for `item`, which was saved in the version before, and stops there.
    async fn take(&self, steps: usize, purpose: Purpose, item: &Item) {
        let (engine, marker) = (self.engine(), Marker::of(purpose, item));
        if steps >= 1 {
            let saved = engine.save_published(item, item.version - 1, &marker).await.unwrap();
            assert_eq!(saved, Saved::Done);
        }
        if steps >= 2 && purpose == Purpose::Publish {
            assert_eq!(
                engine.publish(&self.lane, item.stock, &terms_of(item)).await.unwrap(),
                Published::New
            );
        } else if steps >= 2 {
            assert_eq!(engine.revise(&self.lane, &terms_of(item)).await.unwrap(), Published::Revised);
        }
        if steps >= 3 {
            work::remember(&engine, &self.lane).await.unwrap();
        }
        if steps >= 4 {
            let documents = Documents { item: item.clone(), sale: sale() };
            assert!(engine.describe(&self.lane, &documents).await.unwrap());
        }
        if steps >= 5 {
            publishing::unmark(&engine, &marker).await.unwrap();
        }
    }

    /// What a tick does for documents that have not reached their lanes.
    async fn tick(&self) {
        let engine = self.engine();
        for marker in publishing::unfinished(&engine).await.unwrap() {
            let item: Item = engine.document(marker.item.as_str()).await.unwrap().unwrap();
            publishing::finish(&engine, &marker, &item, &sale(), &terms_of(&item)).await.unwrap();
        }
    }

    /// Price and stock of the lane, whether ticks visit it, and how many markers are left.
    async fn outcome(&self) -> (i64, i64, bool, i64) {
        let price = self.redis.number("HGET", &[&self.keys.lane(), "price"]).await;
        let total = self.redis.number("HGET", &[&self.keys.lane(), "total"]).await;
        let known = self.redis.number("SISMEMBER", &[KNOWN_LANES, &self.lane.to_string()]).await;
        (price, total, known == 1, self.redis.number("SCARD", &[UNFINISHED]).await)
    }
}

#[tokio::test]
async fn publishing_that_dies_after_any_step_is_finished_by_a_tick() {
    for steps in 1..=5 {
        let (shop, draft) = Shop::drafting().await;
        let item = Item { published: true, version: 2, ..draft };
        shop.take(steps, Purpose::Publish, &item).await;
        for _ in 0..2 {
            shop.tick().await;
            assert_eq!(shop.outcome().await, (PRICE, 5, true, 0), "after step {steps}");
        }
        let events = shop.engine().read_outbox(&shop.lane, 100).await.unwrap();
        assert!(events.iter().any(|entry| entry.event.contains("lane.described")), "after step {steps}");
        shop.held("ann").await;
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn publishing_that_dies_before_its_first_step_has_changed_nothing() {
    let (shop, draft) = Shop::drafting().await;
    shop.tick().await;
    assert_eq!(shop.engine().view(&shop.lane).await.unwrap(), None);
    assert_eq!(shop.engine().document::<Item>(draft.id.as_str()).await.unwrap(), Some(draft));
}

#[tokio::test]
async fn a_lane_that_opened_before_the_call_died_keeps_what_it_has_sold() {
    let (shop, draft) = Shop::drafting().await;
    let item = Item { published: true, version: 2, ..draft };
    shop.take(2, Purpose::Publish, &item).await;
    shop.ordered("ann").await;
    shop.tick().await;
    assert_eq!(shop.counters().await, [4, 0, 1, 0]);
    assert_eq!(shop.outcome().await, (PRICE, 5, true, 0));
}

#[tokio::test]
async fn a_change_that_dies_after_any_step_is_finished_by_a_tick() {
    for steps in 1..=5 {
        let (shop, draft) = Shop::drafting().await;
        let item = Item { published: true, version: 2, ..draft };
        shop.take(5, Purpose::Publish, &item).await;
        let price = Money { amount: PRICE - 100, ..item.sale_price.clone() };
        let cheaper = Item { sale_price: price, version: 3, ..item };
        shop.take(steps, Purpose::Change, &cheaper).await;
        shop.tick().await;
        assert_eq!(shop.outcome().await, (PRICE - 100, 5, true, 0), "after step {steps}");
        shop.assert_sound().await;
    }
}

#[tokio::test]
async fn a_later_change_wins_over_one_that_died() {
    let (shop, draft) = Shop::drafting().await;
    let item = Item { published: true, version: 2, ..draft };
    shop.take(5, Purpose::Publish, &item).await;
    let priced = |amount, version| Item {
        sale_price: Money { amount, ..item.sale_price.clone() },
        version,
        ..item.clone()
    };
    shop.take(1, Purpose::Change, &priced(100, 3)).await;
    shop.take(5, Purpose::Change, &priced(200, 4)).await;
    shop.tick().await;
    assert_eq!(shop.outcome().await, (200, 5, true, 0));
}

#[tokio::test]
async fn a_lane_does_not_open_after_the_end_and_a_lost_one_is_waited_for_until_then() {
    let (shop, draft) = Shop::drafting().await;
    let item = Item { published: true, version: 2, ..draft };
    shop.take(1, Purpose::Publish, &item).await;
    shop.set_now(ENDS);
    shop.tick().await;
    assert_eq!(shop.engine().view(&shop.lane).await.unwrap(), None);
    assert_eq!(shop.redis.number("SCARD", &[UNFINISHED]).await, 0);

    shop.set_now(ENDS - 1);
    let changed = Item { version: 3, ends_at: Timestamp::from_millis(ENDS), ..item };
    shop.take(1, Purpose::Change, &changed).await;
    shop.tick().await;
    assert_eq!(shop.redis.number("SCARD", &[UNFINISHED]).await, 1, "the lane may be rebuilt");
    shop.set_now(ENDS);
    shop.tick().await;
    assert_eq!(shop.redis.number("SCARD", &[UNFINISHED]).await, 0);
}
