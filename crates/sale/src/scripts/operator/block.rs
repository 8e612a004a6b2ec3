use crate::change::MOST_ENTRIES;
use crate::keys::{BLOCKLIST, LOG};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::{Redis, Reply};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) static SCRIPT: Script = script!("block", 2);

/// How many users and addresses may be blocked. Every instance reads all of the list, so it must stay small. An operator with
/// more of them blocks networks.
pub const MOST_BLOCKED: u32 = 10_000;

/// What became of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    Done,
    /// No more may be blocked.
    Full,
}

/// A line of the blocklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedEntry {
    /// `user/<id>`, or `address/<address or network>`.
    pub who: String,
    pub since: Timestamp,
    /// The operator, as they call themselves.
    pub by: String,
    pub reason: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default, skip_serializing)]
    since: i64,
    by: String,
    reason: String,
}

impl<R: Redis> Engine<R> {
    /// Blocks `who`. Blocking again replaces the operator and the reason.
    pub async fn block(&self, who: &str, by: &str, reason: &str) -> Result<Blocked, EngineError> {
        let kept = Kept { since: 0, by: by.to_owned(), reason: reason.to_owned() };
        self.set_block(who, &serde_json::to_string(&kept).unwrap_or_default()).await
    }

    /// Unblocks `who`.
    pub async fn unblock(&self, who: &str) -> Result<(), EngineError> {
        self.set_block(who, "").await.map(drop)
    }

    async fn set_block(&self, who: &str, kept: &str) -> Result<Blocked, EngineError> {
        let (most, entries) = (MOST_BLOCKED.to_string(), MOST_ENTRIES.to_string());
        let arguments = [who, kept, &most, self.change(), &entries];
        let mut reply = self.run(&SCRIPT, "", &[BLOCKLIST, LOG], &arguments).await?;
        match reply.text()?.as_str() {
            "blocked" | "unblocked" => Ok(Blocked::Done),
            "full" => Ok(Blocked::Full),
            _ => Err(reply.unexpected()),
        }
    }

    /// All blocked users and addresses, in order.
    pub async fn blocklist(&self) -> Result<Vec<BlockedEntry>, EngineError> {
        let replies = self.redis.execute("HGETALL", &[BLOCKLIST.as_bytes()]).await?;
        let text = |reply: &Reply| reply.text().unwrap_or_default().into_owned();
        let mut entries: Vec<_> = replies
            .chunks_exact(2)
            .map(|pair| {
                let unknown = || Kept { since: 0, by: String::new(), reason: String::new() };
                let Kept { since, by, reason } =
                    serde_json::from_slice(text(&pair[1]).as_bytes()).unwrap_or_else(|_| unknown());
                BlockedEntry { who: text(&pair[0]), since: Timestamp::from_millis(since), by, reason }
            })
            .collect();
        entries.sort_by(|left, right| left.who.cmp(&right.who));
        Ok(entries)
    }

    /// The names of all blocked users and addresses, in no order.
    pub async fn blocked(&self) -> Result<Vec<String>, EngineError> {
        let replies = self.redis.execute("HKEYS", &[BLOCKLIST.as_bytes()]).await?;
        Ok(replies.iter().filter_map(|reply| Some(reply.text()?.into_owned())).collect())
    }
}
