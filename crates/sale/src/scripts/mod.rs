//! The engine: one Lua script a step, each beside its typed binding in a file of the same stem.
//!
//! Rules that every script keeps: checks come before the first write, because Redis does not undo a script that
//! fails half-way; no script builds a key; the reply is flat, its first word says what happened; time is the
//! server's own, or an argument, never a shopper's.
//!
//! `prelude.lua` stands before each script of this folder and holds what they share; other preludes what some share.

use crate::change::Change;
use crate::ids::Lane;
use crate::keys;
use crate::limits::{Allowance, Counted};
use crate::reservation::Pace;
use crate::store::{Redis, RedisError, Reply};
use crate::time::Timestamp;
use sha1::{Digest, Sha1};
use std::sync::OnceLock;

mod acknowledge;
mod audit;
mod block;
mod cancel;
mod checkout;
mod claim;
mod count_challenge;
mod describe;
mod grant;
mod holders;
mod lapse;
mod limit;
mod log;
mod order;
mod pay;
mod poll;
mod provider_choose;
mod provider_claim;
mod provider_register;
mod provider_remind;
mod provider_report;
mod publish;
mod purge;
mod read_outbox;
mod refund;
mod regrant;
mod release;
mod reserve;
mod restore;
mod retell;
mod rows;
mod save_document;
mod seat;
mod settle;
mod stock;
mod switch;
mod take;
mod unseat;
mod view;

pub use audit::Audit;
pub use block::{Blocked, BlockedEntry, MOST_BLOCKED};
pub use cancel::Cancelled;
pub use checkout::CheckedOut;
pub use count_challenge::ChallengeCount;
pub use grant::Granted;
pub use holders::Holders;
pub use lapse::Lapsed;
pub use limit::Limited;
pub use order::{Contact, OrderView, PaymentState, Surplus};
pub use pay::PaymentOpened;
pub use poll::{Overdue, Polled, ReservationView};
pub use provider_choose::Chosen;
pub use publish::Published;
pub use purge::Purged;
pub use read_outbox::OutboxEntry;
pub use refund::Refunded;
pub use release::Released;
pub use reserve::{ChallengeUse, Reserved, Wish};
pub use restore::Restored;
pub use rows::{LaneRow, Rows};
pub use save_document::Saved;
pub use settle::{PaymentOutcome, Settled};
pub use stock::{StockChange, Stocked};
pub use switch::Switched;
pub use take::Taken;
pub use unseat::{Position, Rebuilding};
pub use view::{LaneView, SeriesPoint};

/// A Lua script, named by its file.
pub struct Script {
    pub name: &'static str,
    /// What it shares with some others.
    preludes: &'static [&'static str],
    /// Its own file, without the preludes: a function that has twenty scripts has one of each.
    body: &'static str,
    /// How many keys it takes, as the file's name says.
    pub keys: usize,
    sha: OnceLock<String>,
}

/// What stands before every script, and what stands before some.
const PRELUDE: &str = include_str!("prelude.lua");
const ORDERS: &str = include_str!("prelude_orders.lua");
const OPERATING: &str = include_str!("prelude_operating.lua");
const CALLERS: &str = include_str!("prelude_callers.lua");

impl Script {
    const fn new(
        name: &'static str,
        preludes: &'static [&'static str],
        body: &'static str,
        keys: usize,
    ) -> Self {
        Script { name, preludes, body, keys, sha: OnceLock::new() }
    }

    fn parts(&self) -> impl Iterator<Item = &'static str> {
        [PRELUDE].into_iter().chain(self.preludes.iter().copied()).chain([self.body])
    }

    /// The whole text, as Redis gets it.
    pub fn source(&self) -> String {
        self.parts().collect()
    }

    /// The name that EVALSHA knows it by.
    pub fn sha(&self) -> &str {
        self.sha.get_or_init(|| {
            let digest = self.parts().fold(Sha1::new(), |digest, part| digest.chain_update(part)).finalize();
            digest.iter().map(|byte| format!("{byte:02x}")).collect()
        })
    }
}

/// Declares a script from its file, `<name>-<keys>.lua`.
macro_rules! script {
    ($name:literal, $keys:literal $(, $prelude:ident)*) => {
        $crate::scripts::Script::new($name, &[$($prelude),*], include_str!(concat!($name, "-", $keys, ".lua")), $keys)
    };
}
use script;

/// Every script, for tests that hold all of them to the rules.
pub static ALL: [&Script; 39] = [
    &acknowledge::SCRIPT,
    &audit::SCRIPT,
    &block::SCRIPT,
    &cancel::SCRIPT,
    &checkout::SCRIPT,
    &claim::SCRIPT,
    &describe::SCRIPT,
    &count_challenge::SCRIPT,
    &grant::SCRIPT,
    &holders::SCRIPT,
    &lapse::SCRIPT,
    &limit::SCRIPT,
    &log::SCRIPT,
    &order::SCRIPT,
    &pay::SCRIPT,
    &poll::SCRIPT,
    &provider_choose::SCRIPT,
    &provider_claim::SCRIPT,
    &provider_register::SCRIPT,
    &provider_remind::SCRIPT,
    &provider_report::SCRIPT,
    &publish::SCRIPT,
    &purge::SCRIPT,
    &read_outbox::SCRIPT,
    &refund::SCRIPT,
    &regrant::SCRIPT,
    &release::SCRIPT,
    &reserve::SCRIPT,
    &restore::SCRIPT,
    &retell::SCRIPT,
    &rows::SCRIPT,
    &save_document::SCRIPT,
    &seat::SCRIPT,
    &settle::SCRIPT,
    &stock::SCRIPT,
    &switch::SCRIPT,
    &unseat::SCRIPT,
    &take::SCRIPT,
    &view::SCRIPT,
];

/// A step could not be taken; nothing was changed that the step's own reply does not tell of.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The script answered what its binding does not know: the two disagree, or a record is damaged.
    #[error("script {script} answered {reply}")]
    UnexpectedReply { script: &'static str, reply: String },
}

/// The engine, over any [`Redis`]. Cheap to make; each method is one script and one round trip.
pub struct Engine<R> {
    redis: R,
    now: Option<Timestamp>,
    /// The members of the operator's change that the steps of this engine are; empty for steps that are none.
    change: String,
}

impl<R: Redis> Engine<R> {
    /// An engine that goes by the Redis server's clock.
    pub fn new(redis: R) -> Self {
        Engine { redis, now: None, change: String::new() }
    }

    /// An engine at a moment that a test chooses.
    pub fn at(redis: R, now: Timestamp) -> Self {
        Engine { redis, now: Some(now), change: String::new() }
    }

    /// The same engine, whose steps are an operator's `change` and are logged as such.
    #[must_use]
    pub fn making(self, change: &Change) -> Self {
        Engine { change: change.members(), ..self }
    }

    fn change(&self) -> &str {
        &self.change
    }

    /// The server behind it, for the few commands that are no steps.
    pub fn redis(&self) -> &R {
        &self.redis
    }

    /// The moment by the Redis server's clock, by which all deadlines go. This machine's own may be wrong.
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

    async fn run(
        &self,
        script: &'static Script,
        lane: &str,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<Answer, EngineError> {
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
        Ok(Answer { script, replies, at: 0 })
    }

    async fn run_on(
        &self,
        script: &'static Script,
        lane: &Lane,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<Answer, EngineError> {
        self.run(script, &lane.to_string(), keys, arguments).await
    }
}

/// A flat reply, read value by value.
struct Answer {
    script: &'static Script,
    replies: Vec<Reply>,
    at: usize,
}

impl Answer {
    fn unexpected(&self) -> EngineError {
        // Records carry no secret, but may carry an address: only the shape and the first word are told.
        let word =
            self.replies.first().and_then(Reply::text).map(|text| text.chars().take(40).collect::<String>());
        EngineError::UnexpectedReply {
            script: self.script.name,
            reply: format!("{word:?} and {} values, wrong at {}", self.replies.len(), self.at),
        }
    }

    fn next(&mut self) -> Result<Reply, EngineError> {
        let value = self.replies.get(self.at).cloned().ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(value)
    }

    fn text(&mut self) -> Result<String, EngineError> {
        let value = self.next()?;
        value.text().map(|text| text.into_owned()).ok_or_else(|| self.unexpected())
    }

    fn int(&mut self) -> Result<i64, EngineError> {
        let value = self.next()?;
        value.int().ok_or_else(|| self.unexpected())
    }

    fn count(&mut self) -> Result<u64, EngineError> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| self.unexpected())
    }

    fn quantity(&mut self) -> Result<u32, EngineError> {
        let value = self.int()?;
        u32::try_from(value).map_err(|_| self.unexpected())
    }

    fn moment(&mut self) -> Result<Timestamp, EngineError> {
        Ok(Timestamp::from_millis(self.int()?))
    }

    /// A moment, where zero stands for none.
    fn moment_if_any(&mut self) -> Result<Option<Timestamp>, EngineError> {
        let millis = self.int()?;
        Ok((millis > 0).then(|| Timestamp::from_millis(millis)))
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Result<T, EngineError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.unexpected())
    }

    fn reservation_state(&mut self) -> Result<crate::reservation::ReservationState, EngineError> {
        let word = self.text()?;
        crate::reservation::ReservationState::parse(&word).ok_or_else(|| self.unexpected())
    }

    fn order_state(&mut self) -> Result<crate::order::OrderState, EngineError> {
        let word = self.text()?;
        crate::order::OrderState::parse(&word).ok_or_else(|| self.unexpected())
    }

    fn pace(&mut self) -> Result<Pace, EngineError> {
        Ok(Pace {
            position: self.count()?,
            waiting: self.count()?,
            polls_per_second: self.quantity()?,
            hold_ms: self.count()?,
        })
    }

    /// `outcome`, with the allowances that are the rest of the reply.
    fn counted<T>(mut self, outcome: T) -> Result<Counted<T>, EngineError> {
        let mut allowances = Vec::new();
        while !self.is_finished() {
            allowances.push(Allowance { limit: self.quantity()?, owed: self.count()? });
        }
        Ok(Counted { outcome, allowances })
    }

    fn is_finished(&self) -> bool {
        self.at >= self.replies.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's name, its header and its body agree on the keys, and no key is built in a script.
    #[test]
    fn headers_names_and_bodies_agree() {
        for script in ALL {
            let body = script.body;
            let used = (1..=20).filter(|n| body.contains(&format!("KEYS[{n}]"))).max().unwrap_or(0);
            let whole_table = body.contains("unpack(KEYS)");
            assert!(
                used == script.keys || whole_table,
                "{}: {used} keys used, {} declared",
                script.name,
                script.keys
            );
            let header: String = body.lines().take_while(|line| line.starts_with("--")).collect();
            assert!(header.contains("KEYS  1 "), "{}: no keys in the header", script.name);
            assert!(header.contains("Replies"), "{}: no replies in the header", script.name);
            for call in script.source().replace("redis.pcall(", "redis.call(").split("redis.call(").skip(1) {
                let Some((command, rest)) = call.split_once(", ") else { continue };
                // These two name a subcommand before the key.
                let names_key = !["'XGROUP'", "'XREADGROUP'"].contains(&command);
                let key = rest.split([',', ')']).next().unwrap_or_default();
                let built = key.contains("..") || key.starts_with('\'');
                assert!(!(names_key && built), "{}: builds the key {key}", script.name);
            }
            for prelude in [PRELUDE, ORDERS, OPERATING, CALLERS] {
                assert!(!prelude.contains("KEYS["), "a prelude takes keys as arguments");
            }
        }
    }

    #[test]
    fn names_are_their_own() {
        let mut names: Vec<_> = ALL.iter().map(|script| script.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
