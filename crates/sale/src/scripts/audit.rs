use super::{Engine, EngineError, ORDERS, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::store::Redis;
use serde::Serialize;

pub(super) static SCRIPT: Script = script!("audit", 6, ORDERS);

/// A lane's counters beside the recount of its records, taken in one moment. All in units unless said otherwise.
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
    /// Units that purchase limits count as not returned.
    pub taken_by_users: i64,
    /// Shoppers with units not returned.
    pub users: u64,
    /// Reservations in all.
    pub reservations: u64,
    pub deadlines: u64,
}

impl Audit {
    /// Every way in which the lane does not add up, in words; empty when all is well.
    pub fn differences(&self) -> Vec<String> {
        let sum = self.available + self.held + self.ordered + self.sold;
        let taken = self.counted_queued + self.counted_held + self.counted_ordered + self.counted_sold;
        [
            ("available + held + ordered + sold", sum, "total", self.total),
            ("held", self.held, "held reservations", self.counted_held),
            ("ordered", self.ordered, "unpaid orders", self.counted_ordered),
            ("sold", self.sold, "paid orders", self.counted_sold),
            ("units that limits count", self.taken_by_users, "units queued, held, ordered and sold", taken),
        ]
        .into_iter()
        .filter(|(_, left, _, right)| left != right)
        .map(|(what, left, other, right)| format!("{what} is {left}, {other} is {right}"))
        .collect()
    }
}

impl<R: Redis> Engine<R> {
    /// Recounts a lane of at most `most` reservations, or nothing where it is not published or has more. Redis stands still
    /// meanwhile: about 1 µs a reservation.
    pub async fn audit(&self, lane: &Lane, most: u32) -> Result<Option<Audit>, EngineError> {
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
                    &keys.orders(),
                    &keys.deadlines(),
                ],
                &[&most.to_string()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "counted" => Some(Audit {
                total: answer.int()?,
                available: answer.int()?,
                held: answer.int()?,
                ordered: answer.int()?,
                sold: answer.int()?,
                counted_held: answer.int()?,
                counted_ordered: answer.int()?,
                counted_sold: answer.int()?,
                counted_queued: answer.int()?,
                queue_length: answer.count()?,
                taken_by_users: answer.int()?,
                users: answer.count()?,
                reservations: answer.count()?,
                deadlines: answer.count()?,
            }),
            "too_many" | "not_found" => None,
            _ => return Err(answer.unexpected()),
        })
    }
}
