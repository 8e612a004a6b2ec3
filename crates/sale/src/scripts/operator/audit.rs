use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;
use serde::Serialize;

pub(crate) static SCRIPT: Script = script!("audit", 6, ORDERS);

/// A lane's counters and the recount of its records, at one moment. In units, unless a member says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    pub total: i64,
    pub available: i64,
    pub held: i64,
    pub ordered: i64,
    pub sold: i64,
    pub counted_held: i64,
    pub counted_ordered: i64,
    pub counted_sold: i64,
    pub counted_queued: i64,
    /// Entries of the queue, given-back ones included.
    pub queue_length: u64,
    /// Units that count against shoppers' caps.
    pub taken_by_users: i64,
    /// Shoppers with units not returned.
    pub users: u64,
    /// Reservations in all.
    pub reservations: u64,
    pub deadlines: u64,
}

impl Audit {
    /// Every difference between counters and records, in words; empty if there is none.
    pub fn differences(&self) -> Vec<String> {
        let sum = self.available + self.held + self.ordered + self.sold;
        let taken = self.counted_queued + self.counted_held + self.counted_ordered + self.counted_sold;
        [
            ("available + held + ordered + sold", sum, "total", self.total),
            ("held", self.held, "held reservations", self.counted_held),
            ("ordered", self.ordered, "unpaid orders", self.counted_ordered),
            ("sold", self.sold, "paid orders", self.counted_sold),
            ("units that caps count", self.taken_by_users, "units queued, held, ordered and sold", taken),
        ]
        .into_iter()
        .filter(|(_, left, _, right)| left != right)
        .map(|(what, left, other, right)| format!("{what} is {left}, {other} is {right}"))
        .collect()
    }
}

impl<R: Redis> Engine<R> {
    /// Recounts a lane of at most `most` reservations. Nothing if it is not published or has more. Redis does nothing else
    /// meanwhile: about 1 µs a reservation.
    pub async fn audit(&self, lane: &Lane, most: u32) -> Result<Option<Audit>, EngineError> {
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
                    &keys.orders(),
                    &keys.deadlines(),
                ],
                &[&most.to_string()],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "counted" => Some(Audit {
                total: reply.int()?,
                available: reply.int()?,
                held: reply.int()?,
                ordered: reply.int()?,
                sold: reply.int()?,
                counted_held: reply.int()?,
                counted_ordered: reply.int()?,
                counted_sold: reply.int()?,
                counted_queued: reply.int()?,
                queue_length: reply.count()?,
                taken_by_users: reply.int()?,
                users: reply.count()?,
                reservations: reply.count()?,
                deadlines: reply.count()?,
            }),
            "too_many" | "not_found" => None,
            _ => return Err(reply.unexpected()),
        })
    }
}
