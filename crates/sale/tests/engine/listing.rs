//! The lists of the catalogue: what is read, archived and deleted, and what it costs.

use crate::shop::Shop;
use sale::catalogue::{Item, Sale};
use sale::ids::{ItemId, SaleId};
use sale::item::{LANES, Mode};
use sale::keys::{
    ARCHIVED_SALES, CATALOGUE_REVISION, ITEMS_BY_SALE, LISTED_ITEMS, LOG, RULES, SALES_BY_START,
};
use sale::money::{Currency, Money};
use sale::publishing::{Marker, Purpose};
use sale::rules::{Rules, RulesDocument};
use sale::scripts::{Added, Archived, Deleted, Listed, Saved};
use sale::time::Timestamp;

fn sale_id(number: u64) -> SaleId {
    format!("s{number:010}").parse().unwrap()
}

fn item_id(number: u64) -> ItemId {
    format!("i{number:010}").parse().unwrap()
}

/// A sale that starts so many milliseconds after 1970.
fn sale(number: u64) -> Sale {
    Sale {
        id: sale_id(number),
        title: format!("Sale {number}"),
        description: "First come, first served. 先到先得".repeat(4),
        starts_at: Timestamp::from_millis(i64::try_from(number).unwrap()),
        ends_at: Timestamp::from_millis(1_000_000),
        archived: false,
        version: 1,
    }
}

fn draft(number: u64, of_sale: u64) -> Item {
    let price = Money::new(9_900, Currency::parse("CNY").unwrap());
    Item {
        id: item_id(number),
        sale_id: sale_id(of_sale),
        title: format!("Item {number}"),
        subtitle: String::new(),
        description: "A plate that floats on soft gaskets. ".repeat(10),
        image: String::new(),
        list_price: price.clone(),
        sale_price: price,
        stock: 5,
        per_user_limit: 1,
        mode: Mode::Queued,
        starts_at: Timestamp::from_millis(i64::try_from(number).unwrap()),
        ends_at: Timestamp::from_millis(1_000_000),
        lanes: LANES,
        published: false,
        archived: false,
        version: 1,
    }
}

impl Shop {
    async fn add_sale(&self, number: u64) -> Sale {
        assert_eq!(self.engine().save_document(&sale(number), 0).await.unwrap(), Saved::Done);
        sale(number)
    }

    async fn add_draft(&self, number: u64, of_sale: u64) -> Item {
        assert_eq!(self.engine().save_document(&draft(number, of_sale), 0).await.unwrap(), Saved::Done);
        draft(number, of_sale)
    }

    async fn add_published(&self, number: u64, of_sale: u64) -> Item {
        let item = Item { published: true, version: 2, ..self.add_draft(number, of_sale).await };
        let marker = Marker::of(Purpose::Publish, &item);
        assert_eq!(self.engine().save_published(&item, 1, &marker).await.unwrap(), Saved::Done);
        sale::publishing::unmark(&self.engine(), &marker).await.unwrap();
        item
    }

    /// The numbers of the listed items, and the revision.
    async fn listed(&self) -> (Vec<String>, i64) {
        let Listed::Changed { revision, items, sales } = self.engine().listed(None).await.unwrap() else {
            panic!("nothing is known yet");
        };
        let mut titles: Vec<String> = items.into_iter().map(|item| item.title).collect();
        titles.extend(sales.into_iter().map(|sale| sale.title));
        titles.sort();
        (titles, revision)
    }

    /// Commands that Redis has run, and bytes that it has sent.
    async fn work(&self) -> (i64, i64) {
        let statistics = self.redis.texts("INFO", &["stats", "commandstats"]).await.remove(0);
        let number = |text: &str| text.split(',').next().unwrap().trim().parse::<i64>().unwrap();
        let mut commands = 0;
        let mut bytes = 0;
        for line in statistics.lines() {
            if let Some((command, calls)) = line.split_once(":calls=") {
                commands += if command == "cmdstat_info" { 0 } else { number(calls) };
            } else if let Some(sent) = line.strip_prefix("total_net_output_bytes:") {
                bytes = number(sent);
            }
        }
        (commands, bytes)
    }

    /// What `read` costs: commands, those in scripts included, and bytes of replies. The question itself costs some bytes, so
    /// it is asked twice first.
    async fn cost<T>(&self, read: impl AsyncFn() -> T) -> (i64, i64) {
        read().await;
        self.work().await;
        let asked = self.work().await;
        let question = self.work().await.1 - asked.1;
        let before = self.work().await;
        read().await;
        let after = self.work().await;
        (after.0 - before.0, after.1 - before.1 - question)
    }

    async fn memory(&self, key: &str) -> i64 {
        self.redis.command("MEMORY", &["USAGE", key, "SAMPLES", "0"]).await[0].int().unwrap_or(0)
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn what_is_published_and_not_archived_is_listed_and_every_change_of_it_moves_the_revision() {
    let shop = Shop::empty().await;
    let first = shop.add_sale(1).await;
    let item = shop.add_draft(1, 1).await;
    let (titles, drafted) = shop.listed().await;
    assert_eq!(titles, names(&[]), "a draft is not listed");
    assert_eq!(shop.engine().listed(Some(drafted)).await.unwrap(), Listed::Unchanged);
    let renamed = Item { title: "Still a draft".into(), version: 2, ..item };
    assert_eq!(shop.engine().save_document(&renamed, 1).await.unwrap(), Saved::Done);
    assert_eq!(shop.engine().listed(Some(drafted)).await.unwrap(), Listed::Unchanged, "nor is its change");

    shop.add_published(2, 1).await;
    let (titles, published) = shop.listed().await;
    assert_eq!(titles, names(&["Item 2", "Sale 1"]));
    assert!(published > drafted);
    assert_eq!(shop.engine().listed(Some(published)).await.unwrap(), Listed::Unchanged);

    let renamed = Sale { title: "Sprint".into(), version: 2, ..first };
    assert_eq!(shop.engine().save_document(&renamed, 1).await.unwrap(), Saved::Done);
    let (titles, changed) = shop.listed().await;
    assert_eq!(titles, names(&["Item 2", "Sprint"]));
    assert!(changed > published);

    let items = shop.engine().items_of(&renamed.id).await.unwrap();
    assert_eq!(shop.engine().archive_sale(&renamed, &items).await.unwrap(), Archived::Done);
    let (titles, archived) = shop.listed().await;
    assert_eq!(titles, names(&[]));
    assert!(archived > changed);
    let kept: Sale = shop.engine().document(renamed.id.as_str()).await.unwrap().unwrap();
    assert_eq!(kept, Sale { archived: true, version: 3, ..renamed });
}

#[tokio::test]
async fn a_renewal_after_two_thousand_archived_sales_costs_what_it_costs_with_none() {
    let shop = Shop::empty().await;
    shop.add_sale(1).await;
    shop.add_published(1, 1).await;
    let engine = shop.engine();
    let (_, revision) = shop.listed().await;
    let costs = async |revision: i64| {
        [
            shop.cost(async || engine.listed(Some(revision)).await.unwrap()).await,
            shop.cost(async || engine.listed(None).await.unwrap()).await,
            shop.cost(async || engine.sales(false, 0, 10).await.unwrap()).await,
            shop.cost(async || engine.items_of(&sale_id(1)).await.unwrap()).await,
        ]
    };
    let with_none = costs(revision).await;
    let listed_before = [shop.memory(LISTED_ITEMS).await, shop.memory(SALES_BY_START).await];

    for number in 2..2_002 {
        let sale = shop.add_sale(number).await;
        let item = shop.add_published(number, number).await;
        assert_eq!(engine.archive_sale(&sale, &[item]).await.unwrap(), Archived::Done);
    }
    let (titles, revision) = shop.listed().await;
    assert_eq!(titles, names(&["Item 1", "Sale 1"]));
    for (with_many, with_none) in costs(revision).await.into_iter().zip(with_none) {
        assert_eq!(with_many.0, with_none.0, "commands");
        // The question's own reply grows by a few digits.
        assert!((with_many.1 - with_none.1).abs() <= 16, "{} and {} bytes", with_many.1, with_none.1);
    }
    assert_eq!(with_none[0].0, 2, "a renewal without news is one script, which reads one number");
    assert_eq!(
        [shop.memory(LISTED_ITEMS).await, shop.memory(SALES_BY_START).await],
        listed_before,
        "the lists that are read all the time"
    );
    // An operator who wants the archived ones gets them page by page.
    let page = engine.sales(true, 1_990, 100).await.unwrap();
    assert_eq!((page.total, page.sales.len(), page.sales[0].0.title.as_str()), (2_000, 10, "Sale 11"));
}

#[tokio::test]
async fn archived_sales_and_deleted_drafts_give_their_memory_back() {
    let shop = Shop::empty().await;
    let engine = shop.engine();
    shop.listed().await;
    let keys = async || {
        let mut keys = shop.redis.texts("KEYS", &["*"]).await;
        keys.sort();
        keys
    };
    let before = keys().await;
    for number in 1..=200 {
        let sale = shop.add_sale(number).await;
        let drafts = [shop.add_draft(2 * number, number).await, shop.add_draft(2 * number + 1, number).await];
        let id = drafts[0].id.to_string();
        let rules = RulesDocument { rules: Rules::default(), version: 1, ..RulesDocument::none(&id) };
        assert_eq!(engine.save_document(&rules, 0).await.unwrap(), Saved::Done);
        let drafts = if number % 2 == 0 {
            assert_eq!(engine.delete_draft(&drafts[1]).await.unwrap(), Deleted::Done);
            &drafts[..1]
        } else {
            &drafts[..]
        };
        assert_eq!(engine.delete_sale(&sale, drafts).await.unwrap(), Deleted::Done);
    }
    assert_eq!(keys().await, before, "no key is left of them");

    // Archiving takes the rules of the items, too.
    let sale = shop.add_sale(1).await;
    let item = shop.add_published(1, 1).await;
    let rules =
        RulesDocument { rules: Rules::default(), version: 1, ..RulesDocument::none(item.id.as_str()) };
    assert_eq!(engine.save_document(&rules, 0).await.unwrap(), Saved::Done);
    assert_eq!(engine.archive_sale(&sale, &[item]).await.unwrap(), Archived::Done);
    for key in [RULES, LISTED_ITEMS, SALES_BY_START] {
        assert_eq!(shop.redis.number("EXISTS", &[key]).await, 0, "{key}");
    }
    assert_eq!(shop.redis.number("ZCARD", &[ARCHIVED_SALES]).await, 1);
}

#[tokio::test]
async fn a_catalogue_from_before_the_lists_is_listed_once_from_its_documents() {
    let shop = Shop::empty().await;
    // More than one page of the scan.
    for number in 1..=600 {
        shop.add_sale(number).await;
        if number % 2 == 0 {
            shop.add_published(number, number).await;
        } else {
            shop.add_draft(number, number).await;
        }
    }
    let archived = shop.engine().items_of(&sale_id(600)).await.unwrap();
    assert_eq!(shop.engine().archive_sale(&sale(600), &archived).await.unwrap(), Archived::Done);
    let everything = async || {
        let engine = shop.engine();
        let (titles, revision) = shop.listed().await;
        let sales = [engine.sales(false, 0, 1_000).await.unwrap(), engine.sales(true, 0, 10).await.unwrap()];
        (titles, revision, sales, engine.items_of(&sale_id(8)).await.unwrap())
    };
    let (titles, _, sales, items) = everything().await;
    assert_eq!((titles.len(), sales[0].total, sales[1].total, items.len()), (2 * 299, 599, 1, 1));
    for lost in [&[CATALOGUE_REVISION][..], &[SALES_BY_START, ARCHIVED_SALES, ITEMS_BY_SALE, LISTED_ITEMS]] {
        shop.redis.command("DEL", lost).await;
        shop.redis.command("DEL", &[CATALOGUE_REVISION]).await;
        // Whatever is read first makes them, and what is changed before that is not lost.
        shop.add_sale(1_000).await;
        assert_eq!(shop.engine().delete_sale(&sale(1_000), &[]).await.unwrap(), Deleted::Done);
        let again = everything().await;
        assert_eq!((&again.0, &again.2, &again.3), (&titles, &sales, &items), "without {lost:?}");
        assert_eq!(shop.engine().listed(Some(again.1)).await.unwrap(), Listed::Unchanged, "made once");
    }
    // Many readers at once make the same lists.
    shop.redis.command("DEL", &[CATALOGUE_REVISION, LISTED_ITEMS, ITEMS_BY_SALE]).await;
    let connections = shop.server.connect_many(8).await;
    let reads = connections.iter().map(async |redis| sale::Engine::new(redis).listed(None).await.unwrap());
    for read in futures::future::join_all(reads).await {
        assert!(
            matches!(read, Listed::Changed { items, sales, .. } if items.len() == 299 && sales.len() == 299)
        );
    }
}

#[tokio::test]
async fn nothing_is_archived_or_deleted_that_somebody_changed_meanwhile() {
    let shop = Shop::empty().await;
    let engine = shop.engine();
    let sale = shop.add_sale(1).await;
    let read = shop.add_draft(1, 1).await;
    shop.add_published(1_000, 1).await;
    assert_eq!(
        engine.archive_sale(&sale, std::slice::from_ref(&read)).await.unwrap(),
        Archived::Changed,
        "another item"
    );
    assert_eq!(
        engine.delete_sale(&sale, std::slice::from_ref(&read)).await.unwrap(),
        Deleted::Changed { current: 1 }
    );
    let items = engine.items_of(&sale.id).await.unwrap();
    let published = Item { published: true, version: 2, ..read.clone() };
    assert_eq!(engine.save_document(&published, 1).await.unwrap(), Saved::Done);
    assert_eq!(engine.archive_sale(&sale, &items).await.unwrap(), Archived::Changed, "an item is newer");
    assert_eq!(engine.delete_draft(&read).await.unwrap(), Deleted::Changed { current: 2 });
    assert_eq!(engine.document::<Item>(read.id.as_str()).await.unwrap(), Some(published));
    let items = engine.items_of(&sale.id).await.unwrap();
    let renamed = Sale { title: "Sprint".into(), version: 2, ..sale.clone() };
    assert_eq!(engine.save_document(&renamed, 1).await.unwrap(), Saved::Done);
    assert_eq!(engine.archive_sale(&sale, &items).await.unwrap(), Archived::Changed, "the sale is newer");
    assert_eq!(engine.archive_sale(&renamed, &items).await.unwrap(), Archived::Done);
    assert_eq!(engine.archive_sale(&renamed, &items).await.unwrap(), Archived::Changed, "only once");

    // No item comes into a sale that is archived or gone.
    assert_eq!(engine.save_document(&draft(7, 1), 0).await.unwrap(), Saved::NoSale);
    assert_eq!(engine.add_document(&draft(7, 9), "").await.unwrap(), Added::NoSale);
    let gone = shop.add_sale(3).await;
    assert_eq!(engine.delete_sale(&gone, &[]).await.unwrap(), Deleted::Done);
    assert_eq!(engine.delete_sale(&gone, &[]).await.unwrap(), Deleted::Changed { current: 0 });
    assert_eq!(shop.redis.number("EXISTS", &[LOG]).await, 0, "nobody's change is logged");
}

#[tokio::test]
async fn a_revision_never_comes_back_after_redis_has_forgotten_some() {
    let shop = Shop::empty().await;
    shop.add_sale(1).await;
    shop.add_published(1, 1).await;
    let (_, first) = shop.listed().await;
    let change = async |version: u64, title: &str| {
        let renamed = Sale { title: title.to_owned(), version, ..sale(1) };
        assert_eq!(shop.engine().save_document(&renamed, version - 1).await.unwrap(), Saved::Done);
        shop.listed().await.1
    };
    let forgotten = change(2, "forgotten").await;
    assert!(forgotten > first);
    // Redis comes back from a copy a second old.
    shop.redis.command("SET", &[CATALOGUE_REVISION, &first.to_string()]).await;
    shop.advance(1_000);
    assert!(change(3, "new").await > forgotten);
}
