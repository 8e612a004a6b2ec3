use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("finish", 6, STOCK);

impl<R: Redis> Engine<R> {
    /// Puts a rebuilt lane back into the sale. Returns how many units are free; nothing if no rebuild is ready to finish.
    pub async fn finish_rebuild(&self, lane: &Lane) -> Result<Option<i64>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
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
        Ok(match reply.text()?.as_str() {
            "finished" => Some(reply.int()?),
            "not_found" => None,
            _ => return Err(reply.unexpected()),
        })
    }
}
