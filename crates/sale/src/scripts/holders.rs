use super::{Engine, EngineError, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("holders", 2);

/// Who must still be let through to Redis when an item is sold out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// No unit is free; only these users have something to be shown.
    SoldOut(Vec<String>),
    /// More than could be named: everybody is let through.
    TooMany,
    /// Units are free.
    Available,
}

impl<R: Redis> Engine<R> {
    /// Names the shoppers of a sold-out lane who have a reservation or units, if they are at most `most`.
    pub async fn holders(&self, lane: &Lane, most: u32) -> Result<Holders, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer =
            self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.users()], &[&most.to_string()]).await?;
        Ok(match answer.text()?.as_str() {
            "sold_out" => {
                let mut users = Vec::with_capacity(answer.replies.len());
                while !answer.is_finished() {
                    users.push(answer.text()?);
                }
                Holders::SoldOut(users)
            }
            "too_many" => Holders::TooMany,
            "available" => Holders::Available,
            _ => return Err(answer.unexpected()),
        })
    }
}
