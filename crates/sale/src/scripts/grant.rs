use super::{Engine, EngineError, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("grant", 7);

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
    /// The item is paused: its queue waits.
    Paused,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Decides up to `most` (at most 1000) reservations of the queue, in order of admission.
    pub async fn grant(&self, lane: &Lane, most: u32) -> Result<Granted, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
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
                ],
                &[&most.clamp(1, 1000).to_string()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "drained" => Granted::Drained {
                decided: answer.count()?,
                held: answer.count()?,
                sold_out: answer.count()?,
                rejected: answer.count()?,
                waiting: answer.count()?,
            },
            "paused" => Granted::Paused,
            "not_found" => Granted::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
