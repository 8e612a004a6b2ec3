use super::{Engine, EngineError, ORDERS, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("lapse", 9, ORDERS);

/// What came back to stock because its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lapsed {
    pub holds: u64,
    pub orders: u64,
    /// Deadlines that have passed and are still to be looked at: call again.
    pub overdue: u64,
    pub waiting: u64,
    /// The lane's time in Redis is over: see [`Engine::purge`].
    pub purge_due: bool,
}

impl<R: Redis> Engine<R> {
    /// Returns up to `most` lapsed holds and unpaid orders to stock, and rings again what waits. Nothing for an unknown lane.
    pub async fn lapse(&self, lane: &Lane, most: u32) -> Result<Option<Lapsed>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
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
                ],
                &[&most.max(1).to_string()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "lapsed" => Some(Lapsed {
                holds: answer.count()?,
                orders: answer.count()?,
                overdue: answer.count()?,
                waiting: answer.count()?,
                purge_due: answer.int()? == 1,
            }),
            "not_found" => None,
            _ => return Err(answer.unexpected()),
        })
    }
}
