use crate::holders::FilterPart;
use crate::ids::{Lane, UserId};
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("show_holders", 4, HOLDERS);

/// Shoppers that one script looks at while the filter is made again: about 1 ms of Redis's time.
const PAGE: &str = "500";
/// Pages that one call does at most. The next call does more.
const MOST_PAGES: u32 = 200;

/// The shoppers whose requests must still reach Redis when an item is sold out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// No unit is free and nobody waits. This is the part of the filter that the shopper belongs to.
    SoldOut(FilterPart),
    /// Units are free, or somebody waits for one, or there is no filter yet.
    Available,
}

impl<R: Redis> Engine<R> {
    /// The part that `user` belongs to of the filter of all who got units, if the lane is sold out. Makes the filter again
    /// where that is due, in bounded scripts.
    pub async fn show_holders(&self, lane: &Lane, user: &UserId) -> Result<Holders, EngineError> {
        let keys = LaneKeys::of(lane);
        let keys = [keys.lane(), keys.users(), keys.queue(), keys.holders()];
        let mut shown = Holders::Available;
        for _ in 0..MOST_PAGES {
            let mut reply = self
                .run_on(&SCRIPT, lane, &keys.each_ref().map(String::as_str), &[user.as_str(), PAGE])
                .await?;
            match reply.text()?.as_str() {
                "sold_out" => {
                    let is_being_made = reply.int()? == 1;
                    let (parts, number) = (reply.quantity()?, reply.quantity()?);
                    shown = Holders::SoldOut(FilterPart::new(parts, number, reply.bytes()?));
                    if !is_being_made {
                        return Ok(shown);
                    }
                }
                "making" => {}
                "available" => return Ok(Holders::Available),
                _ => return Err(reply.unexpected()),
            }
        }
        Ok(shown)
    }
}
