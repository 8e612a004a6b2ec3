use crate::ids::Lane;
use crate::keys::{LANES, LaneKeys};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;
use crate::time::Timestamp;

pub(crate) static SCRIPT: Script = script!("purge", 16);

/// What became of a purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purged {
    /// Nothing of the lane is left in Redis.
    Done,
    /// It is too early.
    Early { purge_at: Timestamp },
    /// Something is left: a place in the queue, a hold, an unpaid order, a refund, or an event to be copied.
    Unsettled,
}

impl<R: Redis> Engine<R> {
    /// Removes a lane from Redis once its time is over and all is settled. Ticks no longer visit it.
    pub async fn purge(&self, lane: &Lane) -> Result<Purged, EngineError> {
        let keys = LaneKeys::of(lane);
        let [
            lane_key,
            reservations,
            users,
            queue,
            deadlines,
            orders,
            details,
            outbox,
            alarm,
            series,
            changes,
            rebuilding,
            untold,
            answers,
            holders,
            ended,
        ] = keys.lasting();
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &lane_key,
                    &queue,
                    &deadlines,
                    &outbox,
                    &changes,
                    &alarm,
                    &reservations,
                    &users,
                    &orders,
                    &details,
                    &series,
                    &rebuilding,
                    &untold,
                    &answers,
                    &holders,
                    &ended,
                ],
                &[],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "purged" => {
                let lane = lane.to_string();
                self.redis.execute("SREM", &[LANES.as_bytes(), lane.as_bytes()]).await?;
                Purged::Done
            }
            "early" => Purged::Early { purge_at: reply.moment()? },
            "unsettled" => Purged::Unsettled,
            _ => return Err(reply.unexpected()),
        })
    }
}
