use crate::copying::{START, Shop};
use crate::support::{Client, OLDER_DETAILS, Outbox, Told, World, lane, on_both};
use order_ledger::audit::audit;
use order_ledger::migrate::{migrate, migrate_by, migrations};
use order_ledger::personal_data::{self, EraseError};
use order_ledger::rebuild::{rebuild, rebuild_unless_lost};
use order_ledger::{Dialect, Entry, Row, Sql, SqlError, Value, apply, copy, set_aside};
use sale::ids::{OrderId, UserId};
use sale::keys::LaneKeys;
use sale::scripts::{Contact, StockChange};
use sale::store::Redis;
use sale::time::Timestamp;
use sale::work;
use std::cell::Cell;
use std::time::Duration;

on_both![
    what_a_shopper_wrote_is_in_no_event_and_no_order,
    an_erased_order_is_found_nowhere_and_stays_erased_after_copies_and_a_rebuild,
    a_copy_that_read_before_the_erasure_brings_nothing_back,
    a_rebuild_that_read_before_the_erasure_brings_nothing_back,
    a_redis_that_lost_the_erasure_is_told_again,
    a_shoppers_orders_are_erased_before_and_after_they_are_copied,
    old_data_is_erased_by_age_and_a_bounded_part_at_a_time,
    an_event_that_is_set_aside_has_no_personal_data_and_its_order_can_be_erased,
    a_database_of_an_older_version_is_moved_and_knows_its_events_again,
    an_older_version_beside_this_one_writes_no_personal_data_into_events,
    a_telling_before_the_order_is_written_counts_only_if_no_later_one_comes,
];

const NEVER: Duration = Duration::from_secs(60);

/// All that the database holds, as text: each row of each table with the table's name.
async fn dump(sql: &Client) -> Vec<String> {
    let tables = match sql.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let mut rows = Vec::new();
    for table in sql.execute(tables, &[]).await.unwrap() {
        let table = table.text(0).unwrap();
        for Row(values) in sql.execute(&format!("SELECT * FROM {table}"), &[]).await.unwrap() {
            rows.push(format!("{table}: {values:?}"));
        }
    }
    assert!(rows.iter().any(|row| row.starts_with("transitions: ")), "the dump has the tables");
    rows
}

/// All that Redis holds, as text: each key with its content.
async fn dump_redis(shop: &Shop) -> Vec<String> {
    let mut content = Vec::new();
    for key in shop.redis.execute("KEYS", &[b"*"]).await.unwrap() {
        let key = key.text().unwrap().into_owned();
        let kind = shop.redis.execute("TYPE", &[key.as_bytes()]).await.unwrap();
        let (command, more): (_, &[&[u8]]) = match &*kind[0].text().unwrap() {
            "string" => ("GET", &[]),
            "hash" => ("HGETALL", &[]),
            "set" => ("SMEMBERS", &[]),
            "list" => ("LRANGE", &[b"0", b"-1"]),
            "zset" => ("ZRANGE", &[b"0", b"-1"]),
            "stream" => ("XRANGE", &[b"-", b"+"]),
            other => panic!("{key} is a {other}"),
        };
        let arguments: Vec<&[u8]> = std::iter::once(key.as_bytes()).chain(more.iter().copied()).collect();
        content.push(format!("{key}: {:?}", shop.redis.execute(command, &arguments).await.unwrap()));
    }
    content
}

/// Where `word` is found: names of tables and keys.
async fn places(word: &str, sql: &Client, shop: &Shop) -> Vec<String> {
    let mut all = dump(sql).await;
    all.extend(dump_redis(shop).await);
    let places = all.iter().filter(|text| text.contains(word));
    places.map(|text| text.split(": ").next().unwrap().to_owned()).collect()
}

fn details() -> String {
    LaneKeys::of(&lane()).details()
}

impl Shop {
    /// The order of shopper `u-<number>`, whose every word begins with `<word>-`.
    async fn order_saying(&self, number: u32, word: &str) -> (OrderId, UserId) {
        let user: UserId = format!("u-{number}").parse().unwrap();
        let tail: sale::ids::Tail = format!("{number:0>12}").parse().unwrap();
        let wish = sale::scripts::Wish {
            user: &user,
            quantity: 1,
            tail: tail.clone(),
            challenge: None,
            address: None,
        };
        self.engine().reserve(&lane(), &wish).await.unwrap();
        let id = sale::ids::ReservationId::new(lane(), tail);
        let contact = Contact {
            contact: format!("{word}-phone"),
            address: format!("{word}-street"),
            note: format!("{word}-note\0"),
        };
        self.engine().checkout(&id, &user, &contact).await.unwrap();
        (id.order(), user)
    }

    async fn words_in_engine(&self, order: &OrderId) -> Option<String> {
        self.engine().order(order, None).await.unwrap().unwrap().1.map(|contact| contact.contact)
    }
}

/// A database that runs an erasure at a chosen statement: before the first one, or right after the details are read.
struct ErasesMeanwhile<'a> {
    sql: &'a Client,
    shop: &'a Shop,
    order: &'a OrderId,
    after_reading_details: bool,
    done: Cell<bool>,
}

impl Sql for ErasesMeanwhile<'_> {
    fn dialect(&self) -> Dialect {
        self.sql.dialect()
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        let erase = async || {
            self.done.set(true);
            assert!(personal_data::erase_order(&self.shop.engine(), self.sql, self.order).await.unwrap());
        };
        if !self.after_reading_details && !self.done.get() {
            erase().await;
        }
        let rows = self.sql.execute(statement, parameters).await?;
        if self.after_reading_details && !self.done.get() && statement.contains("FROM personal_data") {
            assert!(!rows.is_empty(), "it read the data");
            erase().await;
        }
        Ok(rows)
    }
}

async fn what_a_shopper_wrote_is_in_no_event_and_no_order(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let (order, _) = shop.order_saying(1, "secret").await;
    assert_eq!(places("secret", &sql, &shop).await, [details()]);
    copy(&shop.engine(), &sql, &lane(), 10).await.unwrap();
    assert_eq!(places("secret", &sql, &shop).await, ["personal_data".to_owned(), details()]);
    let contact = personal_data::contact(&sql, &order).await.unwrap().unwrap();
    assert_eq!((&*contact.contact, &*contact.address), ("secret-phone", "secret-street"));
    // PostgreSQL can't store U+0000.
    assert_eq!(contact.note, "secret-note\u{fffd}");
}

async fn an_erased_order_is_found_nowhere_and_stays_erased_after_copies_and_a_rebuild(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.engine().stock(&lane(), StockChange::Total(500)).await.unwrap();
    let (copied, _) = shop.order_saying(1, "secret").await;
    let (kept, _) = shop.order_saying(2, "kept").await;
    copy(&shop.engine(), &sql, &lane(), 10).await.unwrap();
    // The ledger does not run: this order's event waits in the outbox.
    let (waiting, user) = shop.order_saying(3, "secret").await;
    for order in [&copied, &waiting, &copied, &waiting] {
        assert!(personal_data::erase_order(&shop.engine(), &sql, order).await.unwrap());
        assert_eq!(shop.words_in_engine(order).await, None);
    }
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());

    while copy(&shop.engine(), &sql, &lane(), 10).await.unwrap().left > 0 {}
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(sql.number("SELECT count(*) FROM orders").await, 3);
    // The sale goes on with such an order.
    shop.engine().cancel(&waiting, &user).await.unwrap();
    let report = audit(&shop.engine(), &sql, &lane(), NEVER).await.unwrap();
    assert_eq!((report.compared, report.differences), (3, Vec::new()));

    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
    assert!(rebuild(&shop.engine(), &sql, &lane(), false, NEVER).await.unwrap().finished);
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(shop.words_in_engine(&waiting).await, None);
    assert_eq!(shop.words_in_engine(&kept).await.as_deref(), Some("kept-phone"));
    let report = audit(&shop.engine(), &sql, &lane(), NEVER).await.unwrap();
    assert_eq!((report.compared, report.differences), (3, Vec::new()));
    // Nobody knows this order.
    let unknown = "o-iabcdefghij-0-000000000009".parse().unwrap();
    assert!(!personal_data::erase_order(&shop.engine(), &sql, &unknown).await.unwrap());
}

async fn a_copy_that_read_before_the_erasure_brings_nothing_back(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let (order, _) = shop.order_saying(1, "secret").await;
    let meanwhile = ErasesMeanwhile {
        sql: &sql,
        shop: &shop,
        order: &order,
        after_reading_details: false,
        done: Cell::new(false),
    };
    let copied = copy(&shop.engine(), &meanwhile, &lane(), 10).await.unwrap();
    assert_eq!((copied.events.applied, meanwhile.done.get()), (1, true));
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
}

async fn a_rebuild_that_read_before_the_erasure_brings_nothing_back(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    shop.engine().stock(&lane(), StockChange::Total(500)).await.unwrap();
    let (order, _) = shop.order_saying(1, "secret").await;
    while copy(&shop.engine(), &sql, &lane(), 10).await.unwrap().left > 0 {}
    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
    let meanwhile = ErasesMeanwhile {
        sql: &sql,
        shop: &shop,
        order: &order,
        after_reading_details: true,
        done: Cell::new(false),
    };
    assert!(rebuild(&shop.engine(), &meanwhile, &lane(), false, NEVER).await.unwrap().finished);
    assert!(meanwhile.done.get());
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(shop.words_in_engine(&order).await, None);
}

async fn a_redis_that_lost_the_erasure_is_told_again(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    let (order, _) = shop.order_saying(1, "secret").await;
    while copy(&shop.engine(), &sql, &lane(), 10).await.unwrap().left > 0 {}
    let before = shop.save().await;
    assert!(personal_data::erase_order(&shop.engine(), &sql, &order).await.unwrap());
    shop.come_back_with(&before).await;
    assert_eq!(places("secret", &sql, &shop).await, [details()]);
    assert_eq!(personal_data::confirm(&shop.engine(), &sql).await.unwrap(), 0, "it may happen again");
    shop.now += 60_000;
    assert_eq!(personal_data::confirm(&shop.engine(), &sql).await.unwrap(), 1);
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(personal_data::confirm(&shop.engine(), &sql).await.unwrap(), 0);
    // A lane that has left Redis gets no key.
    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
    assert!(personal_data::erase_order(&shop.engine(), &sql, &order).await.unwrap());
    assert!(shop.redis.execute("KEYS", &[b"*"]).await.unwrap().is_empty());
}

async fn a_shoppers_orders_are_erased_before_and_after_they_are_copied(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    work::remember(&shop.engine(), &lane()).await.unwrap();
    let (first, user) = shop.order_saying(1, "secret").await;
    let (other, _) = shop.order_saying(2, "kept").await;
    let erase = async || personal_data::erase_shopper(&shop.engine(), &sql, &user, NEVER).await;
    assert_eq!(erase().await.unwrap(), 1);
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(erase().await.unwrap(), 0, "a repeat finds nothing");
    // A call that died before it told Redis is made good by its repeat.
    let value = format!("{{\"contact\":\"secret-phone\",\"address\":\"{user}\",\"note\":\"\"}}");
    let arguments = [details(), first.tail.as_str().to_owned(), value];
    let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
    shop.redis.execute("HSET", &arguments).await.unwrap();
    assert_eq!(erase().await.unwrap(), 0);
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(shop.words_in_engine(&other).await.as_deref(), Some("kept-phone"));

    // While an event can't be copied, nobody can say whose orders wait behind it.
    shop.number("HINCRBY", &[&LaneKeys::of(&lane()).lane(), "outbox_seq", "1"]).await;
    shop.order_saying(4, "waiting").await;
    assert!(matches!(erase().await, Err(EraseError::NotCopied(stuck)) if stuck == lane()));
}

async fn old_data_is_erased_by_age_and_a_bounded_part_at_a_time(world: &World) {
    let sql = world.ledger().await;
    let mut shop = Shop::open().await;
    for number in 0..502 {
        shop.order_saying(number, "old").await;
    }
    shop.now += 1;
    let (young, _) = shop.order_saying(502, "young").await;
    while copy(&shop.engine(), &sql, &lane(), 250).await.unwrap().left > 0 {}
    let erase = async |before| {
        personal_data::erase_older(&shop.engine(), &sql, Timestamp::from_millis(before)).await.unwrap()
    };
    assert_eq!(erase(START).await, 0);
    assert_eq!((erase(START + 1).await, erase(START + 1).await, erase(START + 1).await), (500, 2, 0));
    assert_eq!(places("old-", &sql, &shop).await, Vec::<String>::new());
    assert_eq!(shop.words_in_engine(&young).await.as_deref(), Some("young-phone"));
    assert!(personal_data::contact(&sql, &young).await.unwrap().is_some());
}

async fn an_event_that_is_set_aside_has_no_personal_data_and_its_order_can_be_erased(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    // An order without units: the engine makes none, and the database refuses it.
    let (order, _) = shop.order_saying(1, "secret").await;
    let outbox = LaneKeys::of(&lane()).outbox();
    let told = shop.engine().read_outbox(&lane(), 10).await.unwrap().remove(0).event;
    let refused = told.replace("\"quantity\":1", "\"quantity\":0");
    shop.redis.execute("DEL", &[outbox.as_bytes()]).await.unwrap();
    let add = [outbox.as_bytes(), b"*", b"event", refused.as_bytes()];
    shop.redis.execute("XADD", &add).await.unwrap();
    assert_eq!(copy(&shop.engine(), &sql, &lane(), 10).await.unwrap().events.set_aside, 1);
    assert_eq!(set_aside::list(&sql, 10, 0).await.unwrap()[0].event, refused);
    assert_eq!(places("secret", &sql, &shop).await, ["personal_data".to_owned(), details()]);
    // Also if only the event knows the order.
    shop.redis.execute("FLUSHALL", &[]).await.unwrap();
    assert!(personal_data::erase_order(&shop.engine(), &sql, &order).await.unwrap());
    assert_eq!(places("secret", &sql, &shop).await, Vec::<String>::new());
}

async fn a_database_of_an_older_version_is_moved_and_knows_its_events_again(world: &World) {
    let sql = world.connect().await;
    migrate_by(&sql, &migrations(sql.dialect())[..1]).await.unwrap();
    let mut outbox = Outbox::new();
    let [mut paid, mut refused, mut later] = [1, 2, 3].map(Told::new);
    refused.quantity = 0;
    let older = [
        outbox.created_by_an_older_version(&mut paid),
        outbox.payment_created(&mut paid),
        outbox.moved(&mut paid, "order.paid", "paid"),
        outbox.created_by_an_older_version(&mut refused),
        // Part of an event: it is none, and has personal data nonetheless.
        outbox.rubbish(&format!("{{\"type\":\"order.created\"{}", OLDER_DETAILS.trim_end_matches('}'))),
    ];
    assert_eq!(apply(&sql, &lane(), &older).await.unwrap().set_aside, 2);
    assert!(dump(&sql).await.iter().filter(|row| row.contains("13800138000")).count() > 3);

    assert_eq!(migrate(&sql).await, Ok(1));
    let rows = dump(&sql).await;
    let found: Vec<&String> =
        rows.iter().filter(|row| row.contains("13800138000") || row.contains("Long St")).collect();
    assert!(found.len() == 2 && found.iter().all(|row| row.starts_with("personal_data: ")), "{found:?}");
    for order in [&paid, &refused] {
        assert_eq!(personal_data::contact(&sql, &order.id).await.unwrap().unwrap().address, "上海 1 Long St");
    }
    // What still waits in Redis, as the older version told it and as this one reads it, is known again.
    let as_read: Vec<Entry> = older
        .iter()
        .map(|entry| Entry { event: entry.event.replace(OLDER_DETAILS, ""), ..entry.clone() })
        .collect();
    for entries in [&older[..3], &as_read[..4]] {
        let outcome = apply(&sql, &lane(), entries).await.unwrap();
        assert_eq!((outcome.repeated, outcome.applied, outcome.contradicts), (entries.len(), 0, false));
    }
    let next = outbox.created(&mut later);
    assert_eq!(apply(&sql, &lane(), &[next]).await.unwrap().applied, 1);
}

async fn an_older_version_beside_this_one_writes_no_personal_data_into_events(world: &World) {
    let sql = world.ledger().await;
    let (mut outbox, mut told) = (Outbox::new(), Told::new(1));
    let entry = outbox.created_by_an_older_version(&mut told);
    assert_eq!(apply(&sql, &lane(), std::slice::from_ref(&entry)).await.unwrap().applied, 1);
    assert_eq!(apply(&sql, &lane(), std::slice::from_ref(&entry)).await.unwrap().repeated, 1);
    let rows = dump(&sql).await;
    let found: Vec<&String> = rows.iter().filter(|row| row.contains("13800138000")).collect();
    assert!(found.len() == 1 && found[0].starts_with("personal_data: "), "{found:?}");
    assert_eq!(personal_data::contact(&sql, &told.id).await.unwrap().unwrap().contact, "Li Lei 13800138000");
    // Nothing else of an event ever changes.
    for statement in ["UPDATE events SET payload = '{}'", "UPDATE events SET at = at"] {
        let outcome = sql.execute(statement, &[]).await;
        assert!(matches!(outcome, Err(SqlError::Refused(_))), "{statement}: {outcome:?}");
    }
}

async fn a_telling_before_the_order_is_written_counts_only_if_no_later_one_comes(world: &World) {
    let sql = world.ledger().await;
    let shop = Shop::open().await;
    let before = shop.save().await;
    let (order, _) = shop.order_saying(1, "first").await;
    // This worker dies between the order's data and its event.
    let gone = Gone { sql: &sql, left: Cell::new(1) };
    assert!(copy(&shop.engine(), &gone, &lane(), 10).await.is_err());
    assert_eq!(personal_data::contact(&sql, &order).await.unwrap().unwrap().contact, "first-phone");
    // Redis loses the order, and the shopper makes it again.
    shop.come_back_with(&before).await;
    shop.order_saying(1, "second").await;
    copy(&shop.engine(), &sql, &lane(), 10).await.unwrap();
    assert_eq!(personal_data::contact(&sql, &order).await.unwrap().unwrap().contact, "second-phone");
    // After that it stays.
    shop.come_back_with(&before).await;
    shop.order_saying(1, "third").await;
    rebuild_unless_lost(&shop.engine(), &sql, &lane(), NEVER).await.unwrap();
    copy(&shop.engine(), &sql, &lane(), 10).await.unwrap();
    assert_eq!(personal_data::contact(&sql, &order).await.unwrap().unwrap().contact, "second-phone");
}

/// A database that is gone after so many statements.
struct Gone<'a> {
    sql: &'a Client,
    left: Cell<u32>,
}

impl Sql for Gone<'_> {
    fn dialect(&self) -> Dialect {
        self.sql.dialect()
    }

    async fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Vec<Row>, SqlError> {
        let left = self.left.get().checked_sub(1).ok_or(SqlError::Unavailable("gone".to_owned()))?;
        self.left.set(left);
        self.sql.execute(statement, parameters).await
    }
}
