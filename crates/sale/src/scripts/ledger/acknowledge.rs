use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("acknowledge", 2);

impl<R: Redis> Engine<R> {
    /// Removes events that the order database has (at most 1000 ids) from the outbox. Returns how many are left.
    pub async fn acknowledge(&self, lane: &Lane, ids: &[&str]) -> Result<u64, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.outbox()], ids).await?;
        match reply.text()?.as_str() {
            "acknowledged" => reply.count(),
            _ => Err(reply.unexpected()),
        }
    }
}
