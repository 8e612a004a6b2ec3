use crate::ids::Lane;
use crate::item::Offer;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, ReplyReader, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("begin", 7, HOLDERS);

/// How far the rebuild of a lane is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilding {
    /// Next are the orders of the order database, after this tail.
    Orders { cursor: String },
    /// Next are the operators' decisions among the events that the order database does not have, after this event.
    Decisions { cursor: String },
    /// Next are the orders among those events, after this event.
    Untold { cursor: String },
    /// Next are the holds and the places in the queue. The last step ended so many of them.
    Counting { ended: u64 },
    /// The lane can go back into the sale.
    Ready,
    /// The lane is not being rebuilt.
    Sound,
}

impl ReplyReader {
    pub(crate) fn rebuilding(&mut self) -> Result<Rebuilding, EngineError> {
        Ok(match self.text()?.as_str() {
            "rebuilding" => match self.text()?.as_str() {
                "orders" => Rebuilding::Orders { cursor: self.text()? },
                "decisions" => Rebuilding::Decisions { cursor: self.text()? },
                "untold" => Rebuilding::Untold { cursor: self.text()? },
                "holds" | "queue" => Rebuilding::Counting { ended: 0 },
                "finish" => Rebuilding::Ready,
                _ => return Err(self.unexpected()),
            },
            "sound" | "not_found" => Rebuilding::Sound,
            _ => return Err(self.unexpected()),
        })
    }
}

impl<R: Redis> Engine<R> {
    /// Takes a lane out of the sale and begins to rebuild it with `offer`, if the lane is lost, has fewer events than the
    /// `written` ones of the order database, or contradicts those. Returns how far the rebuild is.
    pub async fn begin_rebuild(
        &self,
        lane: &Lane,
        written: i64,
        contradicts: bool,
        offer: &Offer,
    ) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.rebuilding(),
                    &keys.users(),
                    &keys.outbox(),
                    &keys.untold(),
                    &keys.alarm(),
                    &keys.holders(),
                ],
                &[
                    &written.to_string(),
                    if contradicts { "1" } else { "0" },
                    offer.switch.as_str(),
                    &offer.total.to_string(),
                    &offer.starts_at.to_string(),
                    &offer.ends_at.to_string(),
                    &offer.cap.to_string(),
                    offer.mode.as_str(),
                    &offer.price.to_string(),
                    offer.currency.as_str(),
                    &offer.hold_ms.to_string(),
                    &offer.pay_ms.to_string(),
                    &offer.queue_factor.to_string(),
                    &offer.purge_at.to_string(),
                    &offer.rates,
                    if offer.paused_by_rules { "1" } else { "0" },
                ],
            )
            .await?;
        reply.rebuilding()
    }
}
