use super::{Engine, EngineError, OPERATING, ORDERS, Script, script};
use crate::ids::Lane;
use crate::item::Switch;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("switch", 6, ORDERS, OPERATING);

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
        let mut answer = self
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
        Ok(match answer.text()?.as_str() {
            "switched" => {
                let before = answer.text()?;
                Switched::Done { before: Switch::parse(&before).ok_or_else(|| answer.unexpected())? }
            }
            "conflict" => Switched::Closed,
            "not_found" => Switched::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
