//! Published sales and items, and where each item stands, without Redis on the hot path.
//!
//! Redis holds the truth; the key-value store keeps what was read there, shared by all instances of a machine; an
//! instance keeps what it read for a quarter of a second. A snapshot of an item is trusted for decisions for one second
//! by its own time stamp, so nothing has to be cleared when a sale sells out, is paused or opens again: the snapshot
//! lapses. A store that is empty, stale or gone costs round trips and nothing else.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sale::catalogue::{Item, Sale};
use sale::ids::{ItemId, Lane, SaleId};
use sale::item::{ItemState, Switch};
use sale::rules::Rules;
use sale::scripts::{Engine, EngineError};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use spin_sdk::key_value::Store;

use crate::http::problem::Problem;
use crate::http::request::local_now;
use crate::platform::random;
use crate::platform::redis::SharedRedis;

/// How long an instance believes itself.
const INSTANCE_MEMORY: Duration = Duration::from_millis(250);
/// How old a snapshot may be and still decide something, in milliseconds.
const TRUSTED_MS: i64 = 1_000;
/// From which age on a snapshot may be renewed, in milliseconds. Each reader draws its own age between this and
/// [`RENEWED_BY_MS`], so that of a crowd one or two renew it early and the rest never wait.
const RENEWED_FROM_MS: i64 = 500;
const RENEWED_BY_MS: i64 = 900;
/// How old the list of published sales may grow, in milliseconds. It names what exists; what moves is in the snapshots.
const INDEX_MS: i64 = 2_000;
/// Most items that an instance remembers, so that made-up ids don't fill its memory.
const MOST_REMEMBERED: usize = 512;

const INDEX_KEY: &str = "sales";

/// A published item, and what the engine said of it at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The item as its operator wrote it.
    pub item: Item,
    /// What the engine knows of it; nothing once its keys have left Redis.
    pub standing: Option<Standing>,
    /// The rules that operators have set for it, its own over the shop's: at most a second old, as all of this.
    #[serde(default)]
    pub rules: Rules,
    /// The Redis server's clock then.
    at: Timestamp,
    /// This machine's clock then.
    taken: Timestamp,
}

/// The engine's settings and counters of an item, over all its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// What the operator set.
    pub switch: Switch,
    /// When it opens and ends.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Units in all.
    pub total: i64,
    /// Units that nobody has.
    pub available: i64,
    /// Reservations in queues.
    pub waiting: u64,
}

impl Snapshot {
    /// The Redis server's clock at `local`, a moment of this machine's: the clock that the sale goes by.
    pub fn server_time(&self, local: Timestamp) -> Timestamp {
        self.at.plus_millis(local.since(self.taken))
    }

    /// When it opens.
    pub fn starts_at(&self) -> Timestamp {
        self.standing.as_ref().map_or(self.item.starts_at, |standing| standing.starts_at)
    }

    /// The item's state at `local`, a moment of this machine's clock.
    pub fn state(&self, local: Timestamp) -> ItemState {
        let now = self.server_time(local);
        match &self.standing {
            Some(standing) => {
                ItemState::at(now, standing.switch, standing.starts_at, standing.ends_at, standing.available)
            }
            None if now >= self.item.ends_at => ItemState::Ended,
            // Published in the catalogue and not in the engine: a publication is under way, or Redis lost its data.
            None => ItemState::Paused,
        }
    }

    /// Units in all, and units that nobody has.
    pub fn stock(&self) -> (i64, i64) {
        match &self.standing {
            Some(standing) => (standing.total, standing.available.max(0)),
            None => (self.item.stock, 0),
        }
    }

    /// Whether a decision may rest on it at `local`.
    pub fn is_trusted(&self, local: Timestamp) -> bool {
        (0..=TRUSTED_MS).contains(&local.since(self.taken))
    }
}

/// All published sales, the latest to start first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The sales that have published items.
    pub sales: Vec<ListedSale>,
    taken: Timestamp,
}

/// A sale and the items in it that are published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedSale {
    /// The sale.
    pub sale: Sale,
    /// Its items in the order in which they start.
    pub items: Vec<ListedItem>,
}

/// As much of an item as a search needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListedItem {
    /// The item.
    pub id: ItemId,
    /// Its title.
    pub title: String,
}

impl Index {
    fn of(mut sales: Vec<Sale>, mut items: Vec<Item>, taken: Timestamp) -> Self {
        sales.sort_by(|a, b| b.starts_at.cmp(&a.starts_at).then_with(|| a.id.cmp(&b.id)));
        items.retain(|item| item.published);
        items.sort_by(|a, b| a.starts_at.cmp(&b.starts_at).then_with(|| a.id.cmp(&b.id)));
        let mut of_sale: HashMap<SaleId, Vec<ListedItem>> = HashMap::new();
        for Item { id, sale_id, title, .. } in items {
            of_sale.entry(sale_id).or_default().push(ListedItem { id, title });
        }
        let sales = sales
            .into_iter()
            .filter_map(|sale| of_sale.remove(&sale.id).map(|items| ListedSale { sale, items }))
            .collect();
        Self { sales, taken }
    }

    fn has_item(&self, id: &ItemId) -> bool {
        self.sales.iter().any(|listed| listed.items.iter().any(|item| item.id == *id))
    }

    /// A published sale.
    pub fn sale(&self, id: &SaleId) -> Option<&ListedSale> {
        self.sales.iter().find(|listed| listed.sale.id == *id)
    }

    /// The sales that have `words` in their own texts or in an item's title, in either case. All where there are no words.
    pub fn search(&self, words: &str) -> Vec<&ListedSale> {
        let words = words.trim().to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&words);
        let fits = |listed: &&ListedSale| {
            words.is_empty()
                || has(&listed.sale.title)
                || has(&listed.sale.description)
                || listed.items.iter().any(|item| has(&item.title))
        };
        self.sales.iter().filter(fits).collect()
    }
}

/// A published item for a decision: `not-found`, or a snapshot at most a second old, or `unavailable`.
pub async fn item(id: &ItemId) -> Result<Rc<Snapshot>, Problem> {
    match look(id).await {
        Look::Fresh(snapshot) => Ok(snapshot),
        Look::Old(_, problem) | Look::Failed(problem) => Err(problem),
        Look::Absent => Err(Problem::NotFound { what: "item" }),
    }
}

/// A published item for a page: with Redis gone, what was last known is better than nothing.
pub async fn item_to_show(id: &ItemId) -> Result<Rc<Snapshot>, Problem> {
    match look(id).await {
        Look::Fresh(snapshot) | Look::Old(snapshot, _) => Ok(snapshot),
        Look::Failed(problem) => Err(problem),
        Look::Absent => Err(Problem::NotFound { what: "item" }),
    }
}

/// All published sales, at most some seconds old; older where Redis is gone.
pub async fn index() -> Result<Rc<Index>, Problem> {
    if let Some(index) = INDEX.with_borrow(|memory| memory.as_ref().and_then(Memory::recent)) {
        return Ok(index);
    }
    let stored = stored::<Index>(INDEX_KEY).await;
    let now = local_now();
    let renewed_from = INDEX_MS - jitter(INDEX_MS / 2);
    let index = match stored {
        Some(index) if (0..renewed_from).contains(&now.since(index.taken)) => index,
        old => match (renew_index().await, old) {
            (Ok(index), _) | (Err(_), Some(index)) => index,
            (Err(problem), None) => return Err(problem),
        },
    };
    let index = Rc::new(index);
    INDEX.set(Some(Memory::new(index.clone())));
    Ok(index)
}

/// Brings a change that an operator made to an item, its stock or its state to everybody, at once on this machine.
/// Called after Redis has it. A failure is no failure of the change: caches lapse by themselves.
pub async fn announce_item(id: &ItemId) -> Result<(), Problem> {
    renew(id).await?;
    announce_sales().await
}

/// Brings a change of a sale, or of which items are published, to everybody.
pub async fn announce_sales() -> Result<(), Problem> {
    let index = renew_index().await?;
    INDEX.set(Some(Memory::new(Rc::new(index))));
    Ok(())
}

/// Whether the key-value store answers, for readiness.
pub async fn is_store_ready() -> Result<(), Problem> {
    let problem = |error| Problem::unavailable(format_args!("key-value: {error}"));
    let store = Store::open_default().await.map_err(problem)?;
    store.get(INDEX_KEY).await.map(|_| ()).map_err(problem)
}

/// What an instance read, and when.
struct Memory<T> {
    value: T,
    read: Instant,
}

impl<T: Clone> Memory<T> {
    fn new(value: T) -> Self {
        Self { value, read: Instant::now() }
    }

    fn recent(&self) -> Option<T> {
        (self.read.elapsed() <= INSTANCE_MEMORY).then(|| self.value.clone())
    }
}

thread_local! {
    static INDEX: RefCell<Option<Memory<Rc<Index>>>> = const { RefCell::new(None) };
    /// Items by id; nothing where there is none.
    static ITEMS: RefCell<HashMap<ItemId, Memory<Option<Rc<Snapshot>>>>> = RefCell::new(HashMap::new());
    static STORE: RefCell<Option<Rc<Store>>> = const { RefCell::new(None) };
    /// Whether a request of this instance is renewing a snapshot that is still good; the others need not.
    static RENEWING: Cell<bool> = const { Cell::new(false) };
}

enum Look {
    Fresh(Rc<Snapshot>),
    /// Too old for a decision, and why there is none younger.
    Old(Rc<Snapshot>, Problem),
    Absent,
    Failed(Problem),
}

async fn look(id: &ItemId) -> Look {
    let now = local_now();
    match ITEMS.with_borrow(|items| items.get(id).and_then(Memory::recent)) {
        Some(Some(snapshot)) if snapshot.is_trusted(now) => return Look::Fresh(snapshot),
        Some(None) => return Look::Absent,
        _ => {}
    }
    match stored::<Snapshot>(&item_key(id)).await.map(Rc::new) {
        Some(snapshot) if snapshot.is_trusted(now) => {
            let renewed_from = RENEWED_FROM_MS + jitter(RENEWED_BY_MS - RENEWED_FROM_MS);
            if now.since(snapshot.taken) >= renewed_from && !RENEWING.replace(true) {
                let renewed = renew(id).await;
                RENEWING.set(false);
                match renewed {
                    Ok(Some(younger)) => return Look::Fresh(younger),
                    Ok(None) => return Look::Absent,
                    // It is still good for a moment; whoever comes later will hear of the failure.
                    Err(_) => {}
                }
            }
            remember(id, Some(snapshot.clone()));
            Look::Fresh(snapshot)
        }
        Some(old) => match renew(id).await {
            Ok(Some(snapshot)) => Look::Fresh(snapshot),
            Ok(None) => Look::Absent,
            Err(problem) => Look::Old(old, problem),
        },
        None => {
            // A made-up id ends here: the index is one for all of them, so a crowd of such ids does not reach Redis.
            match index().await {
                Ok(index) if !index.has_item(id) => {
                    remember(id, None);
                    return Look::Absent;
                }
                Ok(_) => {}
                Err(problem) => return Look::Failed(problem),
            }
            match renew(id).await {
                Ok(Some(snapshot)) => Look::Fresh(snapshot),
                Ok(None) => Look::Absent,
                Err(problem) => Look::Failed(problem),
            }
        }
    }
}

/// Reads an item and its standing from Redis, and tells the store and this instance.
async fn renew(id: &ItemId) -> Result<Option<Rc<Snapshot>>, Problem> {
    let snapshot = read(&Engine::new(SharedRedis), id).await?.map(Rc::new);
    match &snapshot {
        Some(snapshot) => keep(&item_key(id), snapshot.as_ref()).await,
        None => drop_stored(&item_key(id)).await,
    }
    remember(id, snapshot.clone());
    Ok(snapshot)
}

async fn read(engine: &Engine<SharedRedis>, id: &ItemId) -> Result<Option<Snapshot>, EngineError> {
    let Some(item) = engine.document::<Item>(id.as_str()).await?.filter(|item| item.published) else {
        return Ok(None);
    };
    let mut standing: Option<Standing> = None;
    let mut at = None;
    for number in 0..item.lanes.max(1) {
        let Some(view) = engine.view(&Lane::new(id.clone(), number)).await? else { continue };
        at = Some(view.now);
        let sum = standing.get_or_insert(Standing {
            switch: view.switch,
            starts_at: view.starts_at,
            ends_at: view.ends_at,
            total: 0,
            available: 0,
            waiting: 0,
        });
        sum.total += view.total;
        sum.available += view.available;
        sum.waiting += view.waiting;
    }
    let rules = engine.rules_of(id.as_str()).await?.merged();
    let taken = local_now();
    Ok(Some(Snapshot { item, standing, rules, at: at.unwrap_or(taken), taken }))
}

async fn renew_index() -> Result<Index, Problem> {
    let engine = Engine::new(SharedRedis);
    let taken = local_now();
    let sales = engine.documents::<Sale>().await?;
    let items = engine.documents::<Item>().await?;
    let index = Index::of(sales, items, taken);
    keep(INDEX_KEY, &index).await;
    Ok(index)
}

fn remember(id: &ItemId, snapshot: Option<Rc<Snapshot>>) {
    ITEMS.with_borrow_mut(|items| {
        if items.len() >= MOST_REMEMBERED {
            items.clear();
        }
        items.insert(id.clone(), Memory::new(snapshot));
    });
}

fn item_key(id: &ItemId) -> String {
    format!("item/{id}")
}

/// A number from 0 up to `below`. Readers must differ, no more.
fn jitter(below: i64) -> i64 {
    i64::from(u16::from_le_bytes(random::bytes())) % below.max(1)
}

/// The store, opened once an instance.
async fn store() -> Option<Rc<Store>> {
    if let Some(store) = STORE.with_borrow(Clone::clone) {
        return Some(store);
    }
    let opened = Rc::new(Store::open_default().await.ok()?);
    Some(STORE.with_borrow_mut(|shared| shared.get_or_insert(opened).clone()))
}

/// What the store has, if it can be reached and read. A store that fails is as good as an empty one: Redis has it all.
pub(crate) async fn stored<T: for<'de> Deserialize<'de>>(key: &str) -> Option<T> {
    match store().await?.get(key).await {
        Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
        Err(_) => {
            STORE.set(None);
            None
        }
    }
}

pub(crate) async fn keep<T: Serialize>(key: &str, value: &T) {
    if let (Some(store), Ok(bytes)) = (store().await, serde_json::to_vec(value))
        && store.set(key, bytes).await.is_err()
    {
        STORE.set(None);
    }
}

async fn drop_stored(key: &str) {
    if let Some(store) = store().await
        && store.delete(key).await.is_err()
    {
        STORE.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sale::item::Mode;
    use sale::money::{Currency, Money};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn sale(id: &str, title: &str, starts: i64) -> Sale {
        Sale {
            id: id.parse().unwrap(),
            title: title.to_owned(),
            description: String::new(),
            starts_at: at(starts),
            ends_at: at(starts + 100),
            version: 1,
        }
    }

    fn an_item(id: &str, sale_id: &str, title: &str, published: bool) -> Item {
        let price = Money::new(100, Currency::parse("CNY").unwrap());
        Item {
            id: id.parse().unwrap(),
            sale_id: sale_id.parse().unwrap(),
            title: title.to_owned(),
            subtitle: String::new(),
            description: String::new(),
            image: String::new(),
            list_price: price.clone(),
            sale_price: price,
            stock: 7,
            per_user_limit: 1,
            mode: Mode::Queued,
            starts_at: at(1_000),
            ends_at: at(2_000),
            lanes: 1,
            published,
            version: 1,
        }
    }

    #[test]
    fn the_index_lists_what_is_published_and_finds_words() {
        let index = Index::of(
            vec![
                sale("saaaaaaaaaa", "Lamps", 10),
                sale("sbbbbbbbbbb", "Chairs", 20),
                sale("scccccccccc", "Drafts", 30),
            ],
            vec![
                an_item("iaaaaaaaaaa", "saaaaaaaaaa", "青花台灯", true),
                an_item("ibbbbbbbbbb", "sbbbbbbbbbb", "Oak chair", true),
                an_item("icccccccccc", "scccccccccc", "Secret", false),
            ],
            at(0),
        );
        let titles = |found: Vec<&ListedSale>| {
            found.iter().map(|listed| listed.sale.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(titles(index.search("")), ["Chairs", "Lamps"]);
        assert_eq!(titles(index.search(" oak ")), ["Chairs"]);
        assert_eq!(titles(index.search("台灯")), ["Lamps"]);
        assert!(index.search("secret").is_empty());
        assert!(index.has_item(&"iaaaaaaaaaa".parse().unwrap()));
        assert!(!index.has_item(&"icccccccccc".parse().unwrap()));
    }

    #[test]
    fn a_snapshot_goes_by_the_server_s_clock_and_lapses_by_its_own() {
        let standing = Standing {
            switch: Switch::Open,
            starts_at: at(1_000),
            ends_at: at(2_000),
            total: 7,
            available: 3,
            waiting: 0,
        };
        // This machine is an hour ahead of the server.
        let hour = 3_600_000;
        let snapshot = Snapshot {
            item: an_item("iaaaaaaaaaa", "saaaaaaaaaa", "Lamp", true),
            standing: Some(standing),
            rules: Rules::default(),
            at: at(900),
            taken: at(hour + 900),
        };
        assert_eq!(snapshot.server_time(at(hour + 950)), at(950));
        assert_eq!(snapshot.state(at(hour + 999)), ItemState::Upcoming);
        assert_eq!(snapshot.state(at(hour + 1_000)), ItemState::Open);
        assert_eq!(snapshot.state(at(hour + 2_000)), ItemState::Ended);
        assert!(snapshot.is_trusted(at(hour + 1_900)));
        assert!(!snapshot.is_trusted(at(hour + 1_901)));
        assert!(!snapshot.is_trusted(at(hour + 899)));
    }

    #[test]
    fn an_item_without_keys_in_redis_is_not_for_sale() {
        let snapshot = Snapshot {
            item: an_item("iaaaaaaaaaa", "saaaaaaaaaa", "Lamp", true),
            standing: None,
            rules: Rules::default(),
            at: at(1_500),
            taken: at(1_500),
        };
        assert_eq!(snapshot.state(at(1_500)), ItemState::Paused);
        assert_eq!(snapshot.state(at(2_000)), ItemState::Ended);
        assert_eq!(snapshot.stock(), (7, 0));
    }
}
