use super::{Engine, EngineError, ORDERS, Script, script};
use crate::catalogue::Documents;
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("describe", 4, ORDERS);

impl<R: Redis> Engine<R> {
    /// Tells the order database what the operator wrote of a lane's item; answers whether there is such a lane.
    pub async fn describe(&self, lane: &Lane, documents: &Documents) -> Result<bool, EngineError> {
        let keys = LaneKeys::of(lane);
        let json = serde_json::to_string(documents).unwrap_or_else(|_| "{}".to_owned());
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.deadlines(), &keys.outbox(), &keys.alarm()],
                &[&json],
            )
            .await?;
        match answer.text()?.as_str() {
            "described" => Ok(true),
            "not_found" => Ok(false),
            _ => Err(answer.unexpected()),
        }
    }
}
