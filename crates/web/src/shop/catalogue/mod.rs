//! Published sales and items, and where each item stands, without Redis on the hot path.
//!
//! Redis holds the truth. The key-value store caches what was read there, for all instances of a machine. An instance
//! remembers what it read for a quarter of a second.
//!
//! A decision may rest on a snapshot for one second, by the snapshot's own time stamp. So nothing has to be cleared
//! when a sale sells out, is paused or opens again. If the store is empty, stale or gone, that costs round trips only.

mod index;
mod snapshot;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sale::catalogue::Item;
use sale::ids::{ItemId, Lane};
use sale::scripts::{Engine, EngineError, Listed};
use sale::time::Timestamp;

use crate::http::problem::Problem;
use crate::http::request::local_now;
use crate::platform::redis::SharedRedis;
use crate::platform::remembered::{Remembered, RememberedMap};
use crate::platform::{random, store};

pub use index::{Index, ListedItem, ListedSale};
pub use snapshot::{Snapshot, Standing};

/// The age from which a snapshot may be renewed, in milliseconds. Each reader draws its own age between this and
/// [`RENEWED_BY_MS`]. So one or two of a crowd renew it early, and the others never wait.
const RENEWED_FROM_MS: i64 = 500;
const RENEWED_BY_MS: i64 = 900;
/// The age by which the list of published sales is renewed, in milliseconds. It names what exists; what moves is in the
/// snapshots.
const INDEX_MS: i64 = 2_000;
/// How long the instances of a machine leave the renewal of that list to one of them, in milliseconds.
const RENEWAL_MS: i64 = 1_000;
/// Most items that an instance remembers, so that made-up ids don't fill its memory.
const MOST_REMEMBERED: usize = 512;

const INDEX_KEY: &str = "sales";
/// When an instance of this machine last began to renew the list.
const RENEWAL_KEY: &str = "sales/renewal";

/// A published item for a decision: a snapshot at most a second old, `not-found`, or `unavailable`.
pub async fn item(id: &ItemId) -> Result<Rc<Snapshot>, Problem> {
    match look(id).await {
        Look::Fresh(snapshot) => Ok(snapshot),
        Look::Old(_, problem) | Look::Failed(problem) => Err(problem),
        Look::Absent => Err(Problem::NotFound { what: "item" }),
    }
}

/// A published item for a page. If Redis is gone, the page shows the last snapshot, however old.
pub async fn item_to_show(id: &ItemId) -> Result<Rc<Snapshot>, Problem> {
    match look(id).await {
        Look::Fresh(snapshot) | Look::Old(snapshot, _) => Ok(snapshot),
        Look::Failed(problem) => Err(problem),
        Look::Absent => Err(Problem::NotFound { what: "item" }),
    }
}

/// All published sales, at most three seconds old; older if Redis is gone.
pub async fn index() -> Result<Rc<Index>, Problem> {
    if let Some(index) = INDEX.with_borrow(|index| index.as_ref()?.recent().cloned()) {
        return Ok(index);
    }
    let stored = store::cached::<Index>(INDEX_KEY).await;
    let now = local_now();
    let renewed_from = INDEX_MS - jitter(INDEX_MS / 2);
    let index = match stored {
        Some(index) if (0..renewed_from).contains(&now.since(index.taken)) => index,
        Some(old) if !begins_renewal(now).await => old,
        old => match (renew_index(old.as_ref()).await, old) {
            (Ok(index), _) | (Err(_), Some(index)) => index,
            (Err(problem), None) => return Err(problem),
        },
    };
    let index = Rc::new(index);
    INDEX.set(Some(Remembered::new(index.clone())));
    Ok(index)
}

/// Whether the caller is to renew the list: nobody on this machine has begun to in the last second. If the store fails,
/// or two instances ask in the same moment, both renew it.
async fn begins_renewal(now: Timestamp) -> bool {
    let Some(_asking) = Asking::begin() else { return false };
    let begun = store::cached::<i64>(RENEWAL_KEY).await.map(Timestamp::from_millis);
    if begun.is_some_and(|begun| (0..RENEWAL_MS).contains(&now.since(begun))) {
        return false;
    }
    store::cache(RENEWAL_KEY, &now.millis()).await;
    true
}

/// One request of this instance asks whether to renew the list. It ends with the request, even if that is dropped.
struct Asking;

impl Asking {
    fn begin() -> Option<Self> {
        (!ASKING.replace(true)).then_some(Asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.set(false);
    }
}

/// Makes an operator's change of an item, its stock or its state visible, at once on this machine. Call it when Redis
/// has the change. If it fails, the change still stands: caches expire by themselves.
pub async fn announce_item(id: &ItemId) -> Result<(), Problem> {
    renew(id).await?;
    announce_sales().await
}

/// Makes a change of a sale, or of which items are listed, visible at once on this machine.
pub async fn announce_sales() -> Result<(), Problem> {
    let index = renew_index(store::cached(INDEX_KEY).await.as_ref()).await?;
    INDEX.set(Some(Remembered::new(Rc::new(index))));
    Ok(())
}

/// Whether the key-value store answers, for readiness.
pub async fn is_store_ready() -> Result<(), Problem> {
    store::get(INDEX_KEY).await?;
    Ok(())
}

thread_local! {
    static INDEX: RefCell<Option<Remembered<Rc<Index>>>> = const { RefCell::new(None) };
    /// Snapshots by item; nothing for an item that does not exist.
    static ITEMS: RefCell<RememberedMap<ItemId, Option<Rc<Snapshot>>, MOST_REMEMBERED>> = RefCell::default();
    static ASKING: Cell<bool> = const { Cell::new(false) };
    /// Whether a request of this instance is renewing a snapshot that is still trusted. Then the others don't.
    static RENEWING: Cell<bool> = const { Cell::new(false) };
}

enum Look {
    Fresh(Rc<Snapshot>),
    /// Too old for a decision, and why there is no newer one.
    Old(Rc<Snapshot>, Problem),
    Absent,
    Failed(Problem),
}

async fn look(id: &ItemId) -> Look {
    let now = local_now();
    match ITEMS.with_borrow(|items| items.get(id)?.recent().cloned()) {
        Some(Some(snapshot)) if snapshot.is_trusted(now) => return Look::Fresh(snapshot),
        Some(None) => return Look::Absent,
        _ => {}
    }
    match store::cached::<Snapshot>(&item_key(id)).await.map(Rc::new) {
        Some(snapshot) if snapshot.is_trusted(now) => {
            let renewed_from = RENEWED_FROM_MS + jitter(RENEWED_BY_MS - RENEWED_FROM_MS);
            if now.since(snapshot.taken) >= renewed_from && !RENEWING.replace(true) {
                let renewed = renew(id).await;
                RENEWING.set(false);
                match renewed {
                    Ok(Some(younger)) => return Look::Fresh(younger),
                    Ok(None) => return Look::Absent,
                    // The snapshot is trusted for another moment. A later request hears of the failure.
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
            // A made-up id ends here. The index is the same for all of them, so they don't reach Redis.
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
        Some(snapshot) => store::cache(&item_key(id), snapshot.as_ref()).await,
        // If this fails, the next reader asks Redis once more.
        None => drop(store::delete(&item_key(id)).await),
    }
    remember(id, snapshot.clone());
    Ok(snapshot)
}

async fn read(engine: &Engine<SharedRedis>, id: &ItemId) -> Result<Option<Snapshot>, EngineError> {
    let Some(item) = engine.document::<Item>(id.as_str()).await?.filter(Item::is_listed) else {
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

/// Asks Redis for what is listed, and tells the store. If it is what `old` has, Redis replies with one word.
async fn renew_index(old: Option<&Index>) -> Result<Index, Problem> {
    let taken = local_now();
    let index = match Engine::new(SharedRedis).listed(old.map(|old| old.revision)).await? {
        Listed::Changed { revision, sales, items } => Index::of(revision, sales, items, taken),
        Listed::Unchanged => match old {
            Some(old) => Index { taken, ..old.clone() },
            None => return Err(Problem::unavailable("nothing is unchanged when nothing was known")),
        },
    };
    store::cache(INDEX_KEY, &index).await;
    for id in old.iter().flat_map(|old| old.items_gone_in(&index)) {
        // If this fails, the snapshot stays in the store, and the next reader of the item deletes it.
        drop(store::delete(&item_key(id)).await);
    }
    Ok(index)
}

fn remember(id: &ItemId, snapshot: Option<Rc<Snapshot>>) {
    ITEMS.with_borrow_mut(|items| items.insert(id.clone(), snapshot));
}

fn item_key(id: &ItemId) -> String {
    format!("item/{id}")
}

/// A number from 0 up to `below`. It only has to differ among readers.
fn jitter(below: i64) -> i64 {
    i64::from(u16::from_le_bytes(random::bytes())) % below.max(1)
}
