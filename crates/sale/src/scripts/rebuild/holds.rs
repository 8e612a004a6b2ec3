use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Rebuilding, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("holds", 7, HOLDERS, ENDED);

impl<R: Redis> Engine<R> {
    /// Counts up to `most` holds or places in the queue of a lane that is being rebuilt. Ends those without units.
    pub async fn rebuild_holds(&self, lane: &Lane, most: u32) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.rebuilding(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.holders(),
                    &keys.ended(),
                ],
                &[&most.clamp(1, 1_000).to_string()],
            )
            .await?;
        Ok(match reply.rebuilding()? {
            Rebuilding::Counting { .. } => {
                let _cursor = reply.text()?;
                Rebuilding::Counting { ended: reply.count()? }
            }
            other => other,
        })
    }
}
