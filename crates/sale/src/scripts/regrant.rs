use super::{Engine, EngineError, Rebuilding, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("regrant", 5);

impl<R: Redis> Engine<R> {
    /// Counts up to `most` holds or places in the queue of a lane that is being made anew, and ends those that nothing is
    /// left for.
    pub async fn regrant(&self, lane: &Lane, most: u32) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.rebuilding(), &keys.reservations(), &keys.users(), &keys.queue(), &keys.deadlines()],
                &[&most.clamp(1, 1_000).to_string()],
            )
            .await?;
        Ok(match answer.rebuilding()? {
            Rebuilding::Counting { .. } => {
                let _cursor = answer.text()?;
                Rebuilding::Counting { ended: answer.count()? }
            }
            other => other,
        })
    }
}
