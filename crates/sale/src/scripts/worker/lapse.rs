use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("lapse", 12, STOCK, ORDERS, ENDED);

/// What lapsed, and what is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapsed {
    pub holds: u64,
    pub orders: u64,
    /// Deadlines that have passed and are not handled yet: call again.
    pub overdue: u64,
    pub waiting: u64,
    /// The lane's time in Redis is over: see [`Engine::purge`].
    pub purge_due: bool,
}

impl<R: Redis> Engine<R> {
    /// Ends up to `most` lapsed holds and unpaid orders, and rings again for work that waits. Nothing for an unknown lane,
    /// and for one that is being rebuilt, for which it rings the ledger.
    pub async fn lapse(&self, lane: &Lane, most: u32) -> Result<Option<Lapsed>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.orders(),
                    &keys.outbox(),
                    &keys.alarm(),
                    &keys.series(),
                    &keys.rebuilding(),
                    &keys.untold(),
                    &keys.ended(),
                ],
                &[&most.max(1).to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "lapsed" => Some(Lapsed {
                holds: reply.count()?,
                orders: reply.count()?,
                overdue: reply.count()?,
                waiting: reply.count()?,
                purge_due: reply.int()? == 1,
            }),
            "not_found" | "rebuilding" => None,
            _ => return Err(reply.unexpected()),
        })
    }
}
