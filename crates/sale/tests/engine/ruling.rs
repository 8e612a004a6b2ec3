//! Every reply of `limit`, `log` and `block`. The scripts that make an operator's change also log it, once.

use crate::shop::{Shop, terms};
use sale::change::{Change, LoggedChange, MOST_ENTRIES};
use sale::ids::Lane;
use sale::item::{Offer, Switch};
use sale::keys::{GRANT_DOORBELL, LOG, LOG_POSITIONS};
use sale::rules::{ItemRules, LaneRules, Rules, RulesDocument, SHOP, VersionedRules};
use sale::scripts::{
    Applied, Blocked, MOST_BLOCKED, Published, Purged, Reserved, Saved, StockChange, Switched,
};
use serde_json::json;

fn limits(shop_version: u64, item_version: u64, paused: bool, queue_factor: u32) -> VersionedRules {
    VersionedRules {
        rules: LaneRules { paused, queue_factor, ..LaneRules::NONE },
        shop_version,
        item_version,
    }
}

fn change(action: &str) -> Change {
    Change {
        operator: "Anna \"A\"".to_owned(),
        token: "0a1b2c3d".to_owned(),
        action: action.to_owned(),
        target: "item/iabcdefghij".to_owned(),
        request_id: "request-1".to_owned(),
        reason: None,
    }
}

fn told(entries: &[LoggedChange]) -> Vec<(&str, serde_json::Value, serde_json::Value)> {
    entries.iter().map(|entry| (entry.action.as_str(), entry.before.clone(), entry.after.clone())).collect()
}

#[tokio::test]
async fn a_lane_goes_by_the_youngest_rules_whatever_order_they_come_in() {
    let shop = Shop::empty().await;
    let limit = async |limits| shop.engine().apply_rules(&shop.lane, &limits).await.unwrap();
    assert_eq!(limit(limits(1, 1, false, 7)).await, Applied::NotFound);
    shop.engine().publish(&shop.lane, 5, &terms()).await.unwrap();
    let factor = async || shop.redis.texts("HGET", &[&shop.keys.lane(), "queue_factor"]).await.remove(0);
    for (versions, expected, held) in [
        ((2, 3), Applied::Done, "7"),
        ((1, 3), Applied::Newer, "7"),
        ((2, 2), Applied::Newer, "7"),
        ((3, 2), Applied::Newer, "7"),
        // The same rules come again, with other settings under them.
        ((2, 3), Applied::Done, "8"),
        ((3, 3), Applied::Done, "9"),
    ] {
        let queue_factor = held.parse().unwrap();
        let answer = limit(limits(versions.0, versions.1, false, queue_factor)).await;
        assert_eq!((answer, factor().await.as_str()), (expected, held), "{versions:?}");
    }
    // Terms from older rules change the terms and leave the rules.
    let mut older = terms();
    (older.per_user_limit, older.rules) = (4, limits(1, 1, true, 1));
    assert_eq!(shop.engine().revise(&shop.lane, &older).await.unwrap(), Published::Revised);
    assert_eq!((factor().await.as_str(), shop.view().await.per_user_limit), ("9", 4));
    assert_eq!(shop.view().await.switch, Switch::Open);
}

#[tokio::test]
async fn rules_pause_what_is_open_and_open_what_they_paused() {
    let shop = Shop::open(5).await;
    shop.queued("ann").await;
    let mut bell = shop.server.listen(&[GRANT_DOORBELL, "end"]).await;
    let pause = async |version, paused| {
        let answer = shop.engine().apply_rules(&shop.lane, &limits(version, 0, paused, 100)).await.unwrap();
        assert_eq!(answer, Applied::Done);
        shop.view().await.switch
    };
    assert_eq!(pause(1, true).await, Switch::Paused);
    assert_eq!(shop.reserve("bob", 1).await, Reserved::Paused);
    assert_eq!(pause(1, true).await, Switch::Paused);
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 0);
    assert_eq!(pause(2, false).await, Switch::Open);
    assert_eq!(bell.heard(&shop.redis, "end").await.len(), 1, "who waited meanwhile is next");
    assert_eq!(pause(2, false).await, Switch::Open);

    // The switch of an item comes before the rules: rules open nothing that an operator paused.
    let switch = async |wanted| shop.engine().switch(&shop.lane, wanted).await.unwrap();
    assert_eq!(pause(3, true).await, Switch::Paused);
    assert_eq!(switch(Switch::Open).await, Switched::Done { before: Switch::Paused });
    assert_eq!(shop.view().await.switch, Switch::Open);
    switch(Switch::Paused).await;
    assert_eq!(pause(4, true).await, Switch::Paused);
    assert_eq!(pause(5, false).await, Switch::Paused);
    switch(Switch::Closed).await;
    assert_eq!(pause(6, true).await, Switch::Closed);
    assert_eq!(pause(7, false).await, Switch::Closed);
    shop.assert_sound().await;
}

#[tokio::test]
async fn an_item_is_published_under_the_rules_of_the_moment() {
    let shop = Shop::with(5, |terms| terms.rules = limits(4, 2, true, 3)).await;
    assert_eq!(shop.view().await.switch, Switch::Paused);
    assert_eq!(shop.engine().apply_rules(&shop.lane, &limits(3, 2, false, 3)).await.unwrap(), Applied::Newer);
    assert_eq!(shop.engine().apply_rules(&shop.lane, &limits(5, 2, false, 3)).await.unwrap(), Applied::Done);
    assert_eq!(shop.view().await.switch, Switch::Open);
}

#[tokio::test]
async fn rules_of_an_item_come_with_the_rules_of_the_shop() {
    let shop = Shop::empty().await;
    let item = shop.lane.item.as_str();
    let none = ItemRules { shop: RulesDocument::none(SHOP), item: RulesDocument::none(item) };
    assert_eq!(shop.engine().rules_of(item).await.unwrap(), none);
    let document = |id: &str, factor| RulesDocument {
        rules: Rules { queue_factor: Some(factor), ..Rules::default() },
        version: 1,
        ..RulesDocument::none(id)
    };
    assert_eq!(shop.engine().save_document(&document(SHOP, 5), 0).await.unwrap(), Saved::Done);
    assert_eq!(shop.engine().rules_of(item).await.unwrap().merged().queue_factor, Some(5));
    assert_eq!(shop.engine().save_document(&document(item, 6), 0).await.unwrap(), Saved::Done);
    assert_eq!(shop.engine().rules_of(item).await.unwrap().merged().queue_factor, Some(6));
    assert_eq!(shop.engine().rules_of(SHOP).await.unwrap().merged().queue_factor, Some(5));
}

#[tokio::test]
async fn what_changes_the_catalogue_is_logged_with_it_and_what_does_not_is_not() {
    let shop = Shop::empty().await;
    let engine = shop.engine().making(&change("rules.change"));
    let document = |version| RulesDocument { version, ..RulesDocument::none(SHOP) };
    assert_eq!(engine.save_document(&document(1), 0).await.unwrap(), Saved::Done);
    assert_eq!(engine.save_document(&document(2), 0).await.unwrap(), Saved::VersionMismatch { current: 1 });
    assert_eq!(engine.save_document(&document(2), 1).await.unwrap(), Saved::Done);
    assert_eq!(shop.engine().save_document(&document(3), 2).await.unwrap(), Saved::Done, "nobody's change");
    let (entries, total) = shop.engine().log(0, 10).await.unwrap();
    assert_eq!(told(&entries), [("rules.change", json!(1), json!(2)), ("rules.change", json!(0), json!(1))]);
    assert_eq!(total, 2);
    let LoggedChange { at, operator, token, target, request_id, reason, .. } = &entries[0];
    assert_eq!(
        (at.millis(), &**operator, &**token, &**target, &**request_id, reason),
        (shop.now().millis(), "Anna \"A\"", "0a1b2c3d", "item/iabcdefghij", "request-1", &None)
    );
}

#[tokio::test]
async fn what_changes_a_lane_waits_there_and_reaches_the_log_once_in_order() {
    let shop = Shop::empty().await;
    let engine = |action: &str| shop.engine().making(&change(action));
    let lane = &shop.lane;
    // A refused change is not logged.
    engine("item.pause").switch(lane, Switch::Paused).await.unwrap();
    engine("item.stock").stock(lane, StockChange::Add(1)).await.unwrap();
    engine("item.publish").publish(lane, 5, &terms()).await.unwrap();
    engine("item.pause").switch(lane, Switch::Paused).await.unwrap();
    engine("item.stock").stock(lane, StockChange::Add(-2)).await.unwrap();
    engine("item.stock").stock(lane, StockChange::Total(-1)).await.unwrap();
    engine("item.publish").publish(lane, 9, &terms()).await.unwrap();
    shop.engine().switch(lane, Switch::Open).await.unwrap();
    engine("item.change").revise(lane, &terms()).await.unwrap();
    engine("item.close").switch(lane, Switch::Closed).await.unwrap();
    assert_eq!(shop.redis.number("LLEN", &[&shop.keys.changes()]).await, 5);
    assert_eq!(shop.redis.number("EXISTS", &[LOG]).await, 0);
    let waiting = shop.redis.texts("LRANGE", &[&shop.keys.changes(), "0", "-1"]).await;

    let connections = shop.server.connect_many(8).await;
    let collecting =
        connections.iter().map(async |redis| sale::Engine::new(redis).collect_changes(lane).await.unwrap());
    futures::future::join_all(collecting).await;
    assert_eq!(shop.redis.number("EXISTS", &[&shop.keys.changes()]).await, 0);
    // A collector that died after logging the changes and before taking them from the lane.
    for change in &waiting {
        shop.redis.command("RPUSH", &[&shop.keys.changes(), change]).await;
    }
    assert_eq!(shop.engine().collect_changes(lane).await.unwrap(), 5);
    let (entries, total) = shop.engine().log(0, 100).await.unwrap();
    assert_eq!(
        told(&entries),
        [
            ("item.close", json!("open"), json!("closed")),
            ("item.publish", json!("paused"), json!("paused")),
            ("item.stock", json!(5), json!(3)),
            ("item.pause", json!("open"), json!("paused")),
            ("item.publish", json!("draft"), json!("open")),
        ]
    );
    assert_eq!(total, 5);
    let (entries, _) = shop.engine().log(3, 1).await.unwrap();
    assert_eq!(told(&entries), [("item.pause", json!("open"), json!("paused"))]);
    assert_eq!(shop.engine().log(5, 10).await.unwrap().0, []);
}

#[tokio::test]
async fn the_log_of_a_rebuilt_lane_goes_on() {
    let shop = Shop::open(1).await;
    let pause = async || {
        shop.engine().making(&change("item.pause")).switch(&shop.lane, Switch::Paused).await.unwrap();
        shop.engine().collect_changes(&shop.lane).await.unwrap()
    };
    assert_eq!((pause().await, pause().await), (1, 1));
    shop.redis.command("DEL", &[&shop.keys.lane()]).await;
    shop.advance(1);
    shop.engine().publish(&shop.lane, 1, &terms()).await.unwrap();
    assert_eq!(pause().await, 1);
    assert_eq!(shop.engine().log(0, 10).await.unwrap().1, 3);
}

#[tokio::test]
async fn a_lane_is_not_purged_before_its_changes_are_in_the_log() {
    let shop = Shop::open(1).await;
    shop.engine().making(&change("item.close")).switch(&shop.lane, Switch::Closed).await.unwrap();
    // The order database has all events.
    shop.forget_events().await;
    shop.advance(100 * 86_400_000);
    assert_eq!(shop.engine().purge(&shop.lane).await.unwrap(), Purged::Unsettled);
    let done = sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    assert_eq!(done.purged, 1);
    assert_eq!(shop.engine().log(0, 10).await.unwrap().1, 1);
    let mut left = shop.redis.texts("KEYS", &["*"]).await;
    left.sort();
    assert_eq!(left, [LOG, LOG_POSITIONS]);
}

#[tokio::test]
async fn a_change_that_the_log_has_is_not_logged_again_by_a_copy_from_before_the_purge() {
    let shop = Shop::open(1).await;
    shop.engine().making(&change("item.close")).switch(&shop.lane, Switch::Closed).await.unwrap();
    shop.forget_events().await;
    for key in [shop.keys.lane(), shop.keys.changes()] {
        shop.redis.command("COPY", &[&key, &format!("copy:{key}")]).await;
    }
    shop.advance(100 * 86_400_000);
    assert_eq!(sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap().purged, 1);
    for key in [shop.keys.lane(), shop.keys.changes()] {
        shop.redis.command("RENAME", &[&format!("copy:{key}"), &key]).await;
    }
    assert_eq!(sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap().purged, 1);
    assert_eq!(shop.engine().log(0, 10).await.unwrap().1, 1);
}

#[tokio::test]
async fn the_log_remembers_no_more_lanes_than_it_has_entries() {
    let shop = Shop::open(1).await;
    let fill = format!("for n = 1, {MOST_ENTRIES} do redis.call('ZADD', KEYS[1], n, 'lane' .. n) end");
    shop.redis.command("EVAL", &[&fill, "1", LOG_POSITIONS]).await;
    shop.engine().making(&change("item.pause")).switch(&shop.lane, Switch::Paused).await.unwrap();
    shop.engine().collect_changes(&shop.lane).await.unwrap();
    assert_eq!(shop.redis.number("ZCARD", &[LOG_POSITIONS]).await, i64::from(MOST_ENTRIES));
    assert!(!shop.redis.texts("ZSCORE", &[LOG_POSITIONS, &shop.lane.to_string()]).await.is_empty());
    assert_eq!(shop.redis.texts("ZSCORE", &[LOG_POSITIONS, "lane2"]).await, ["2"]);
    assert!(
        shop.redis
            .command("ZSCORE", &[LOG_POSITIONS, "lane1"])
            .await
            .iter()
            .all(|reply| reply.text().is_none())
    );
}

#[tokio::test]
async fn a_pause_by_rules_that_an_operator_makes_their_own_is_told() {
    let shop = Shop::open(1).await;
    shop.engine().apply_rules(&shop.lane, &limits(1, 0, true, 100)).await.unwrap();
    let before = shop.redis.number("XLEN", &[&shop.keys.outbox()]).await;
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.redis.number("XLEN", &[&shop.keys.outbox()]).await, before + 1);
    let entries = shop.engine().read_outbox(&shop.lane, 1000).await.unwrap();
    assert!(!entries.last().unwrap().event.contains("paused_by_rules"), "{entries:?}");
    // Again changes nothing, and tells nothing.
    shop.engine().switch(&shop.lane, Switch::Paused).await.unwrap();
    assert_eq!(shop.redis.number("XLEN", &[&shop.keys.outbox()]).await, before + 1);
}

#[tokio::test]
async fn a_purge_that_dies_before_its_last_step_is_finished_by_the_next_look() {
    let shop = Shop::open(1).await;
    sale::work::remember(&shop.engine(), &shop.lane).await.unwrap();
    shop.engine().making(&change("item.close")).switch(&shop.lane, Switch::Closed).await.unwrap();
    shop.engine().collect_changes(&shop.lane).await.unwrap();
    // The script has run, and what follows it has not.
    shop.redis.command("DEL", &shop.keys.lasting().each_ref().map(String::as_str)).await;
    sale::work::lapse(&shop.engine(), &shop.lane).await.unwrap();
    let mut left = shop.redis.texts("KEYS", &["*"]).await;
    left.sort_unstable();
    assert_eq!(left, [LOG, LOG_POSITIONS], "the log and its place outlive the lane");
}

#[tokio::test]
async fn a_change_that_no_script_makes_is_logged_by_itself_and_the_oldest_entries_leave() {
    let shop = Shop::empty().await;
    let engine = shop.engine().making(&change("item.reconcile"));
    engine.log_change(&json!({ "differences": 2 }), &json!(null)).await.unwrap();
    let (entries, _) = engine.log(0, 10).await.unwrap();
    assert_eq!(told(&entries), [("item.reconcile", json!({ "differences": 2 }), json!(null))]);
    let fill = format!("for n = 1, {MOST_ENTRIES} do redis.call('XADD', KEYS[1], '*', 'entry', '{{}}') end");
    shop.redis.command("EVAL", &[&fill, "1", LOG]).await;
    engine.log_change(&json!(1), &json!(2)).await.unwrap();
    assert_eq!(shop.redis.number("XLEN", &[LOG]).await, i64::from(MOST_ENTRIES));
    assert_eq!(told(&engine.log(0, 1).await.unwrap().0), [("item.reconcile", json!(1), json!(2))]);
}

#[tokio::test]
async fn a_blocked_caller_is_listed_with_the_operator_and_the_reason() {
    let shop = Shop::empty().await;
    let engine = shop.engine().making(&change("blocklist.add"));
    assert_eq!(engine.block("user/ann", "Anna", "a \"bot\"").await.unwrap(), Blocked::Done);
    shop.advance(5);
    let engine = shop.engine().making(&change("blocklist.add"));
    assert_eq!(engine.block("address/192.0.2.0/24", "Bert", "").await.unwrap(), Blocked::Done);
    let entries = engine.blocklist().await.unwrap();
    let lines: Vec<_> =
        entries.iter().map(|line| (&*line.who, line.since.millis(), &*line.by, &*line.reason)).collect();
    let now = shop.now().millis();
    assert_eq!(
        lines,
        [("address/192.0.2.0/24", now, "Bert", ""), ("user/ann", now - 5, "Anna", "a \"bot\"")]
    );
    let mut blocked = engine.blocked().await.unwrap();
    blocked.sort();
    assert_eq!(blocked, ["address/192.0.2.0/24", "user/ann"]);

    let engine = shop.engine().making(&change("blocklist.remove"));
    engine.unblock("user/ann").await.unwrap();
    engine.unblock("user/ann").await.unwrap();
    assert_eq!(engine.blocked().await.unwrap(), ["address/192.0.2.0/24"]);
    let (entries, _) = engine.log(0, 10).await.unwrap();
    let (yes, no) = (json!(true), json!(false));
    assert_eq!(
        told(&entries),
        [
            ("blocklist.remove", no.clone(), no.clone()),
            ("blocklist.remove", yes.clone(), no.clone()),
            ("blocklist.add", no.clone(), yes.clone()),
            ("blocklist.add", no, yes),
        ]
    );
}

#[tokio::test]
async fn a_full_blocklist_takes_no_more_and_lets_go() {
    let shop = Shop::empty().await;
    let fill = format!("for n = 1, {MOST_BLOCKED} do redis.call('HSET', KEYS[1], 'user/' .. n, '{{}}') end");
    shop.redis.command("EVAL", &[&fill, "1", sale::keys::BLOCKLIST]).await;
    let engine = shop.engine();
    assert_eq!(engine.block("user/ann", "", "").await.unwrap(), Blocked::Full);
    assert_eq!(engine.block("user/7", "", "again").await.unwrap(), Blocked::Done);
    engine.unblock("user/7").await.unwrap();
    assert_eq!(engine.block("user/ann", "", "").await.unwrap(), Blocked::Done);
}

#[test]
fn the_document_of_the_shop_belongs_to_no_item() {
    assert!("shop".parse::<sale::ids::ItemId>().is_err());
    assert!("shop".parse::<Lane>().is_err());
}

#[tokio::test]
async fn what_the_rules_change_of_a_lane_is_told_once() {
    let shop = Shop::open(5).await;
    let told = async || -> Vec<Offer> {
        let events = shop.engine().read_outbox(&shop.lane, 100).await.unwrap();
        events.iter().map(|entry| serde_json::from_str(&entry.event).unwrap()).collect()
    };
    let apply = async |rules| shop.engine().apply_rules(&shop.lane, &rules).await.unwrap();
    for (rules, events, switch, by_rules) in [
        (limits(1, 0, true, 100), 1, Switch::Paused, true),
        (limits(1, 0, true, 100), 1, Switch::Paused, true),
        (limits(2, 0, true, 7), 2, Switch::Paused, true),
        (limits(3, 0, false, 7), 3, Switch::Open, false),
        (limits(4, 0, false, 7), 3, Switch::Open, false),
    ] {
        assert_eq!(apply(rules).await, Applied::Done);
        let told = told().await;
        let last = told.last().unwrap();
        assert_eq!((told.len(), last.switch, last.paused_by_rules), (events, switch, by_rules), "{told:?}");
    }
    assert!(shop.alarm_in().await <= 1_000, "the outbox is looked after");
}
