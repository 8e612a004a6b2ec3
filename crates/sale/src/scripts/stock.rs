use super::{Engine, EngineError, OPERATING, ORDERS, Script, script};
use crate::ids::Lane;
use crate::item::MAX_STOCK;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("stock", 6, ORDERS, OPERATING);

/// A change of an item's stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockChange {
    /// So many more, or fewer.
    Add(i64),
    /// So many in all.
    Total(i64),
}

/// What became of a change of stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stocked {
    Done {
        total: i64,
        available: i64,
    },
    /// Below what is `taken`, above the most that an item may have, or the item is closed.
    Conflict {
        taken: i64,
        total: i64,
    },
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Changes a lane's stock, never below what is held, ordered and sold.
    pub async fn stock(&self, lane: &Lane, change: StockChange) -> Result<Stocked, EngineError> {
        let keys = LaneKeys::of(lane);
        let (how, units) = match change {
            StockChange::Add(units) => ("add", units),
            StockChange::Total(units) => ("total", units),
        };
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.alarm(),
                    &keys.changes(),
                ],
                &[how, &units.to_string(), &MAX_STOCK.to_string(), self.change()],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "stocked" => Stocked::Done { total: answer.int()?, available: answer.int()? },
            "conflict" => Stocked::Conflict { taken: answer.int()?, total: answer.int()? },
            "not_found" => Stocked::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
