use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("list_holders", 2);

/// The shoppers whose requests must still reach Redis when an item is sold out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// No unit is free. Only these users have a reservation or units.
    SoldOut(Vec<String>),
    /// Too many to name: all requests must reach Redis.
    TooMany,
    /// Units are free.
    Available,
}

impl<R: Redis> Engine<R> {
    /// Names the shoppers of a sold-out lane who have a reservation or units, up to `most` of them.
    pub async fn list_holders(&self, lane: &Lane, most: u32) -> Result<Holders, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply =
            self.run_on(&SCRIPT, lane, &[&keys.lane(), &keys.users()], &[&most.to_string()]).await?;
        Ok(match reply.text()?.as_str() {
            "sold_out" => {
                let mut users = Vec::with_capacity(reply.len());
                while !reply.is_finished() {
                    users.push(reply.text()?);
                }
                Holders::SoldOut(users)
            }
            "too_many" => Holders::TooMany,
            "available" => Holders::Available,
            _ => return Err(reply.unexpected()),
        })
    }
}
