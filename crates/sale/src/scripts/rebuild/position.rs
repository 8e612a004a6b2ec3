use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("position", 3);

/// Whether a lane is there, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The number of its last event; nothing if there is no lane.
    pub seq: Option<i64>,
    /// Whether it is being rebuilt.
    pub rebuilding: bool,
    /// Whether events of before a rebuild wait to be sent again.
    pub untold: bool,
}

impl Position {
    /// Whether a rebuild of the lane has begun and is not finished.
    pub fn is_unfinished(&self) -> bool {
        self.rebuilding || (self.seq.is_some() && self.untold)
    }
}

impl<R: Redis> Engine<R> {
    /// Whether a lane is there, and how far it is.
    pub async fn position(&self, lane: &Lane) -> Result<Position, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply =
            self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.rebuilding(), &keys.untold()], &[]).await?;
        match reply.text()?.as_str() {
            "position" => Ok(Position {
                seq: Some(reply.int()?).filter(|seq| *seq >= 0),
                rebuilding: reply.int()? == 1,
                untold: reply.int()? > 0,
            }),
            _ => Err(reply.unexpected()),
        }
    }
}
