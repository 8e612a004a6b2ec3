use super::{Engine, EngineError, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("seat", 6);

impl<R: Redis> Engine<R> {
    /// Puts a lane that was made anew back into the sale; answers how many units are free, or nothing where none is ready.
    pub async fn seat(&self, lane: &Lane) -> Result<Option<i64>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.rebuilding(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.alarm(),
                ],
                &[],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "seated" => Some(answer.int()?),
            "not_found" => None,
            _ => return Err(answer.unexpected()),
        })
    }
}
