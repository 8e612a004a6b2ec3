use crate::ids::Lane;
use crate::item::MAX_STOCK;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("stock", 6, STOCK, ORDERS, OPERATING);

/// A change of an item's stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockChange {
    /// Adds units, or removes them if negative.
    Add(i64),
    /// Sets the total.
    Total(i64),
}

/// What became of a change of stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stocked {
    Done {
        total: i64,
        available: i64,
    },
    /// The total would be below the `taken` units or above the largest stock, or the item is closed.
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
        let mut reply = self
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
        Ok(match reply.text()?.as_str() {
            "stocked" => Stocked::Done { total: reply.int()?, available: reply.int()? },
            "conflict" => Stocked::Conflict { taken: reply.int()?, total: reply.int()? },
            "not_found" => Stocked::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }
}
