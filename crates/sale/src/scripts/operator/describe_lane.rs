use crate::catalogue::Documents;
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("describe_lane", 4, ORDERS);

impl<R: Redis> Engine<R> {
    /// Sends the operator's documents of a lane's item to the order database. Returns whether there is such a lane.
    pub async fn describe(&self, lane: &Lane, documents: &Documents) -> Result<bool, EngineError> {
        let keys = LaneKeys::of(lane);
        let json = serde_json::to_string(documents).unwrap_or_else(|_| "{}".to_owned());
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.deadlines(), &keys.outbox(), &keys.alarm()],
                &[&json],
            )
            .await?;
        match reply.text()?.as_str() {
            "described" => Ok(true),
            "not_found" => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }
}
