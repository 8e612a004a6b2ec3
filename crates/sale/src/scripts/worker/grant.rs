use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("grant", 9, HOLDERS, ENDED);

/// What a batch of the queue became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    Drained {
        decided: u64,
        held: u64,
        sold_out: u64,
        rejected: u64,
        waiting: u64,
    },
    /// The item is paused, so its queue waits.
    Paused,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Decides up to `most` (at most 1000) reservations of the queue, in order of admission.
    pub async fn grant(&self, lane: &Lane, most: u32) -> Result<Granted, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.series(),
                    &keys.holders(),
                    &keys.ended(),
                ],
                &[&most.clamp(1, 1000).to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "drained" => Granted::Drained {
                decided: reply.count()?,
                held: reply.count()?,
                sold_out: reply.count()?,
                rejected: reply.count()?,
                waiting: reply.count()?,
            },
            "paused" => Granted::Paused,
            "not_found" => Granted::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
