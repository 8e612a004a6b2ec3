use crate::ids::Lane;
use crate::item::Switch;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("switch_lane", 6, STOCK, ORDERS, OPERATING);

/// What became of pausing, resuming or closing a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Switched {
    Done {
        before: Switch,
    },
    /// The item is closed for good.
    Closed,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Pauses, resumes or closes a lane. Doing it again changes nothing.
    pub async fn switch(&self, lane: &Lane, wanted: Switch) -> Result<Switched, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.changes(),
                    &keys.outbox(),
                ],
                &[wanted.as_str(), self.change()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "switched" => {
                let before = reply.text()?;
                Switched::Done { before: Switch::parse(&before).ok_or_else(|| reply.unexpected())? }
            }
            "conflict" => Switched::Closed,
            "not_found" => Switched::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
