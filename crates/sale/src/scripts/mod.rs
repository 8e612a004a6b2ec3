//! The engine: one Lua script a step, each beside its typed binding in a file of the same stem.
//!
//! The folders say who runs a script: [`Engine`]'s methods are called for a shopper's request, by a worker, for an operator,
//! by the ledger, or while a lane is rebuilt.
//!
//! Rules that every script keeps: checks come before the first write, because Redis does not undo a script that
//! fails half-way. No script builds a key. The reply is flat, and its first word says what happened. Time is the
//! server's own, or an argument, never a shopper's.
//!
//! `prelude/common.lua` stands before every script; the other preludes stand before those that name them.

pub mod contract;
mod reply;
mod script;

pub use reply::ReplyReader;
pub use script::{CALLERS, ENDED, HOLDERS, IDEMPOTENCY, LISTING, OPERATING, ORDERS, RETURNS, STOCK, Script};

use crate::change::{Change, IdempotencyKey};
use crate::ids::Lane;
use crate::keys;
use crate::store::{Redis, RedisError, Reply};
use crate::time::Timestamp;

crate::declare_scripts! {
    /// What a shopper's request runs.
    shopper {
        reserve: ChallengeUse, Reserved, Wish;
        count_challenge: ChallengeCount;
        poll: Overdue, Polled, ReservationView;
        release: Released;
        checkout: CheckedOut;
        note_order: MOST_RECENT_ORDERS;
        view_order: Contact, OrderView, PaymentState, Surplus;
        pay: MOST_PAYMENTS, PaymentOpened;
        cancel: Cancelled;
        spend_allowance: Spent;
    }
    /// What runs without a shopper who waits: for doorbells, alarms and ticks, and for the provider's webhooks.
    worker {
        grant: Granted;
        lapse: Lapsed;
        show_holders: Holders;
        settle: PaymentOutcome, Settled;
        purge: Purged;
    }
    /// What an operator's request runs.
    operator {
        save_document: Added, Saved;
        first_answer: FirstAnswer;
        archive_sale: Archived;
        delete_drafts: Deleted;
        publish_lane: Published;
        describe_lane;
        switch_lane: Switched;
        stock: StockChange, Stocked;
        apply_rules: Applied;
        block: Blocked, BlockedEntry, MOST_BLOCKED;
        refund: Refunded;
        view_lane: LaneView, SeriesPoint;
        audit: Audit;
        audit_rows: LaneRow, Rows;
        log_change;
        erase;
    }
    /// What reads the catalogue by its lists, for everybody's pages and for operators.
    catalogue {
        read_listed: Listed;
        list_sales: SalesPage;
        list_items;
        list_documents;
    }
    /// What copies events to the order database.
    ledger {
        read_outbox: OutboxEntry;
        acknowledge;
    }
    /// What puts a lost lane back from the order database, in this order.
    rebuild {
        position: Position;
        begin: Rebuilding;
        orders: Restored;
        pass: Decisions, PassedPage;
        untold;
        holds;
        finish;
    }
}

/// A step failed. It has changed nothing, unless Redis or the connection failed after the script ran.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The script's binding does not know the reply: the two disagree, or a record is damaged.
    #[error("script {script} replied {reply}")]
    UnexpectedReply { script: &'static str, reply: String },
}

/// The engine, over any [`Redis`]. Cheap to make; each method is one script and one round trip.
#[derive(Clone)]
pub struct Engine<R> {
    redis: R,
    now: Option<Timestamp>,
    /// The members of the operator's change that this engine makes; empty if it makes none.
    change: String,
    /// The key under which that change is made once, and the digest of its request; both empty if it has no key.
    key: [String; 2],
}

impl<R: Redis> Engine<R> {
    /// An engine by the Redis server's clock.
    pub fn new(redis: R) -> Self {
        Engine { redis, now: None, change: String::new(), key: Default::default() }
    }

    /// An engine at a moment that a test chooses.
    pub fn at(redis: R, now: Timestamp) -> Self {
        Engine { redis, now: Some(now), change: String::new(), key: Default::default() }
    }

    /// The same engine, whose steps are an operator's `change`, which the shop's log gets.
    #[must_use]
    pub fn making(self, change: &Change) -> Self {
        Engine { change: change.members(), ..self }
    }

    /// The same engine, whose next change is made once under `key`, however often it is sent.
    #[must_use]
    pub fn once(self, key: Option<IdempotencyKey>) -> Self {
        Engine { key: key.map(|key| [key.name, key.digest]).unwrap_or_default(), ..self }
    }

    fn change(&self) -> &str {
        &self.change
    }

    fn key(&self) -> [&str; 2] {
        [&self.key[0], &self.key[1]]
    }

    /// The server, for the few commands that are not scripts.
    pub fn redis(&self) -> &R {
        &self.redis
    }

    /// The moment by the Redis server's clock, which all deadlines use. This machine's clock may be wrong.
    pub async fn time(&self) -> Result<Timestamp, EngineError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let replies = self.redis.execute("TIME", &[]).await?;
        match replies.iter().map(Reply::int).collect::<Vec<_>>()[..] {
            [Some(seconds), Some(micros)] => Ok(Timestamp::from_millis(seconds * 1_000 + micros / 1_000)),
            _ => Err(EngineError::UnexpectedReply { script: "TIME", reply: format!("{replies:?}") }),
        }
    }

    /// Runs `script` outside any lane (`lane` is empty), or in the lane of that name.
    pub async fn run(
        &self,
        script: &'static Script,
        lane: &str,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<ReplyReader, EngineError> {
        debug_assert_eq!(keys.len(), script.keys, "{} takes {} keys", script.name, script.keys);
        let count = keys.len().to_string();
        let now = self.now.map(|now| now.millis().to_string()).unwrap_or_default();
        let mut all: Vec<&[u8]> = Vec::with_capacity(6 + keys.len() + arguments.len());
        all.push(script.sha().as_bytes());
        all.push(count.as_bytes());
        all.extend(keys.iter().map(|key| key.as_bytes()));
        let common = [now.as_str(), lane, keys::GRANT_DOORBELL, keys::LEDGER_DOORBELL];
        all.extend(common.iter().map(|argument| argument.as_bytes()));
        all.extend(arguments.iter().map(|argument| argument.as_bytes()));
        let source;
        let replies = match self.redis.execute("EVALSHA", &all).await {
            Err(error) if error.is_missing_script() => {
                source = script.source();
                if let Some(first) = all.first_mut() {
                    *first = source.as_bytes();
                }
                self.redis.execute("EVAL", &all).await
            }
            other => other,
        }?;
        Ok(ReplyReader::new(script, replies))
    }

    /// Runs `script` in `lane`.
    async fn run_on(
        &self,
        script: &'static Script,
        lane: &Lane,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<ReplyReader, EngineError> {
        self.run(script, &lane.to_string(), keys, arguments).await
    }
}
