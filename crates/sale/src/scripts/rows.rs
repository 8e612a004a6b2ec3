use super::{Engine, EngineError, ORDERS, OrderView, Script, script};
use crate::ids::{Lane, ReservationId, Tail};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("rows", 5, ORDERS);

/// Some of a lane's reservations, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// Where the next page begins; nothing after the last.
    pub next: Option<String>,
    /// The number of the lane's last event at that moment.
    pub seq: i64,
    pub rows: Vec<LaneRow>,
}

/// A reservation with its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneRow {
    pub id: ReservationId,
    pub state: ReservationState,
    pub quantity: u32,
    /// What does not fit, in words.
    pub fault: Option<String>,
    pub order: Option<OrderView>,
}

impl<R: Redis> Engine<R> {
    /// About `most` reservations from `cursor` on, or nothing where the lane is not published. While the lane changes, one
    /// may come twice; one that is there all the time comes at least once.
    pub async fn rows(
        &self,
        lane: &Lane,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Option<Rows>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.reservations(), &keys.users(), &keys.orders(), &keys.deadlines()],
                &[cursor.unwrap_or("0"), &most.clamp(1, 1_000).to_string()],
            )
            .await?;
        match answer.text()?.as_str() {
            "rows" => {}
            "not_found" => return Ok(None),
            _ => return Err(answer.unexpected()),
        }
        let next = Some(answer.text()?).filter(|cursor| cursor != "0");
        let seq = answer.int()?;
        let mut rows = Vec::new();
        while !answer.is_finished() {
            let tail: Tail = answer.parsed()?;
            let id = ReservationId::new(lane.clone(), tail);
            let state = answer.reservation_state()?;
            let quantity = answer.quantity()?;
            let fault = Some(answer.text()?).filter(|fault| !fault.is_empty());
            let order = if answer.int()? == 1 { Some(answer.order(&id.order())?) } else { None };
            rows.push(LaneRow { id, state, quantity, fault, order });
        }
        Ok(Some(Rows { next, seq, rows }))
    }
}
