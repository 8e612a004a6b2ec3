use super::{Engine, EngineError, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("acknowledge", 2);

impl<R: Redis> Engine<R> {
    /// Takes events (at most 1000 ids) out of the outbox that the order database has; answers how many are left.
    pub async fn acknowledge(&self, lane: &Lane, ids: &[&str]) -> Result<u64, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.outbox()], ids).await?;
        match answer.text()?.as_str() {
            "acknowledged" => answer.count(),
            _ => Err(answer.unexpected()),
        }
    }
}
