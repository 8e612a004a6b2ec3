use super::{Answer, Engine, EngineError, Script, script};
use crate::ids::Lane;
use crate::item::Offer;
use crate::keys::LaneKeys;
use crate::store::{Redis, Reply};

pub(super) static SCRIPT: Script = script!("unseat", 5);

/// How far the making anew of a lane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilding {
    /// Orders are put back as the order database has them, from behind this tail on.
    Orders { cursor: String },
    /// What the lane told and the order database does not have is told again.
    Untold,
    /// Holds and places in the queue are counted.
    Counting { ended: u64 },
    /// It can go back into the sale.
    Ready,
    /// Nothing is being made anew.
    Sound,
}

impl Answer {
    pub(super) fn rebuilding(&mut self) -> Result<Rebuilding, EngineError> {
        Ok(match self.text()?.as_str() {
            "rebuilding" => match self.text()?.as_str() {
                "orders" => Rebuilding::Orders { cursor: self.text()? },
                "untold" => Rebuilding::Untold,
                "holds" | "queue" => Rebuilding::Counting { ended: 0 },
                "seat" => Rebuilding::Ready,
                _ => return Err(self.unexpected()),
            },
            "sound" | "not_found" => Rebuilding::Sound,
            _ => return Err(self.unexpected()),
        })
    }
}

/// Whether a lane is there, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of its last event; nothing where there is no lane.
    pub seq: Option<i64>,
    /// Whether it is being made anew.
    pub rebuilding: bool,
    /// Whether events of before wait to be told again.
    pub untold: bool,
}

impl<R: Redis> Engine<R> {
    /// Whether a lane is there, and how far it is.
    pub async fn position(&self, lane: &Lane) -> Result<Position, EngineError> {
        let keys = LaneKeys::of(lane);
        let seq = self.redis.execute("HGET", &[keys.lane().as_bytes(), b"outbox_seq"]).await?;
        let is_there = async |command: &str, key: String| {
            let replies = self.redis.execute(command, &[key.as_bytes()]).await?;
            Ok::<_, EngineError>(replies.first().and_then(Reply::int).is_some_and(|count| count > 0))
        };
        Ok(Position {
            seq: seq.first().and_then(Reply::int),
            rebuilding: is_there("EXISTS", keys.rebuilding()).await?,
            untold: is_there("XLEN", keys.untold()).await?,
        })
    }

    /// Takes a lane out of the sale that is not there or has fewer events than the `written` ones of the order database,
    /// or whose events contradict those, and begins to make it anew with `offer`. Answers how far that is.
    pub async fn unseat(
        &self,
        lane: &Lane,
        written: i64,
        contradicts: bool,
        offer: &Offer,
    ) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.rebuilding(), &keys.users(), &keys.outbox(), &keys.untold()],
                &[
                    &written.to_string(),
                    if contradicts { "1" } else { "0" },
                    offer.switch.as_str(),
                    &offer.total.to_string(),
                    &offer.starts_at.to_string(),
                    &offer.ends_at.to_string(),
                    &offer.limit.to_string(),
                    offer.mode.as_str(),
                    &offer.price.to_string(),
                    offer.currency.as_str(),
                    &offer.hold_ms.to_string(),
                    &offer.pay_ms.to_string(),
                    &offer.queue_factor.to_string(),
                    &offer.purge_at.to_string(),
                    &offer.limits,
                ],
            )
            .await?;
        answer.rebuilding()
    }
}
