//! Blocked users and addresses. Redis holds the list; an instance reads it through the key-value store, so that a block
//! works within a second everywhere and costs a shopper's request nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use sale::ids::UserId;
use sale::keys::BLOCKLIST;
use sale::store::{Redis, Reply};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;
use crate::redis::SharedRedis;
use crate::request::{Request, local_now};
use crate::{address, catalogue};

/// How long an instance believes itself, and how old the stored list may be: less than a second together.
const INSTANCE_MEMORY: Duration = Duration::from_millis(250);
const STORED_MS: i64 = 600;

const KEY: &str = "blocklist";

/// Who is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    User(UserId),
    /// IPv6 blocks the whole /64, as limits count it.
    Address(IpAddr),
}

impl Entry {
    fn field(&self) -> String {
        match self {
            Entry::User(user) => format!("user/{user}"),
            Entry::Address(address) => format!("address/{}", address::group(*address)),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    taken: Timestamp,
    blocked: HashSet<String>,
}

thread_local! {
    static MEMORY: RefCell<Option<(Instant, Rc<Stored>)>> = const { RefCell::new(None) };
}

/// Refuses a shopper who is blocked, or whose address is.
///
/// Where the list can't be read, nobody is blocked by it: a shop that can't reach Redis sells nothing anyway.
pub async fn check(request: &Request, user: &UserId) -> Result<(), Problem> {
    let list = current().await;
    if list.blocked.is_empty() {
        return Ok(());
    }
    let address = format!("address/{}", address::of(request).await?);
    let user = format!("user/{user}");
    if list.blocked.contains(&user) || list.blocked.contains(&address) {
        Err(Problem::Blocked)
    } else {
        Ok(())
    }
}

/// Blocks or unblocks, and tells everybody.
pub async fn set(entry: &Entry, blocked: bool, now: Timestamp) -> Result<(), Problem> {
    let field = entry.field();
    if blocked {
        SharedRedis
            .execute("HSET", &[BLOCKLIST.as_bytes(), field.as_bytes(), now.to_string().as_bytes()])
            .await?;
    } else {
        SharedRedis.execute("HDEL", &[BLOCKLIST.as_bytes(), field.as_bytes()]).await?;
    }
    renew().await.map(drop)
}

/// Everything that is blocked, and since when.
pub async fn all() -> Result<BTreeMap<String, String>, Problem> {
    let replies = SharedRedis.execute("HGETALL", &[BLOCKLIST.as_bytes()]).await?;
    let text = |reply: &Reply| reply.text().unwrap_or_default().into_owned();
    Ok(replies.chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect())
}

async fn current() -> Rc<Stored> {
    let known = MEMORY.with_borrow(Clone::clone);
    if let Some((read, list)) = &known
        && read.elapsed() <= INSTANCE_MEMORY
    {
        return list.clone();
    }
    // Noted first: requests beside this one go by what was known, and do not read as well.
    if let Some((_, list)) = &known {
        MEMORY.set(Some((Instant::now(), list.clone())));
    }
    let now = local_now();
    let stored = catalogue::stored::<Stored>(KEY).await;
    let list = match stored.filter(|list| (0..STORED_MS).contains(&now.since(list.taken))) {
        Some(list) => Rc::new(list),
        None => match renew().await {
            Ok(list) => list,
            Err(_) => known
                .map_or_else(|| Rc::new(Stored { taken: now, blocked: HashSet::new() }), |(_, list)| list),
        },
    };
    MEMORY.set(Some((Instant::now(), list.clone())));
    list
}

async fn renew() -> Result<Rc<Stored>, Problem> {
    let taken = local_now();
    let replies = SharedRedis.execute("HKEYS", &[BLOCKLIST.as_bytes()]).await?;
    let blocked = replies.iter().filter_map(|reply| Some(reply.text()?.into_owned())).collect();
    let list = Rc::new(Stored { taken, blocked });
    catalogue::keep(KEY, list.as_ref()).await;
    MEMORY.set(Some((Instant::now(), list.clone())));
    Ok(list)
}
