use crate::ids::{Lane, OrderId};
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("erase", 3);

impl<R: Redis> Engine<R> {
    /// Erases contact, address and note of these orders of `lane` (at most 1000). Returns how many orders had them.
    ///
    /// Erase them in the order database first. A rebuild that begins after this call reads them there.
    pub async fn erase_contacts(&self, lane: &Lane, orders: &[OrderId]) -> Result<u64, EngineError> {
        let keys = LaneKeys::of(lane);
        let tails: Vec<&str> = orders.iter().map(|order| order.tail.as_str()).collect();
        let mut reply = self
            .run_on(&SCRIPT, lane, &[&keys.rebuilding(), &keys.orders(), &keys.details()], &tails)
            .await?;
        match reply.text()?.as_str() {
            "erased" => reply.count(),
            _ => Err(reply.unexpected()),
        }
    }
}
