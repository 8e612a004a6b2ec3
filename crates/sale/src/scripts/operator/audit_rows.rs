use crate::ids::{Lane, ReservationId, Tail};
use crate::keys::LaneKeys;
use crate::reservation::ReservationState;
use crate::script;
use crate::scripts::{Engine, EngineError, OrderView, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("audit_rows", 5, ORDERS);

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
    /// The contradiction, in words.
    pub fault: Option<String>,
    pub order: Option<OrderView>,
}

impl<R: Redis> Engine<R> {
    /// About `most` reservations from `cursor` on; nothing if the lane is not published. A reservation that exists all the time
    /// comes at least once. While the lane changes, it may come twice.
    pub async fn audit_rows(
        &self,
        lane: &Lane,
        cursor: Option<&str>,
        most: u32,
    ) -> Result<Option<Rows>, EngineError> {
        let keys = LaneKeys::of(lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.reservations(), &keys.users(), &keys.orders(), &keys.deadlines()],
                &[cursor.unwrap_or("0"), &most.clamp(1, 1_000).to_string()],
            )
            .await?;
        match reply.text()?.as_str() {
            "rows" => {}
            "not_found" => return Ok(None),
            _ => return Err(reply.unexpected()),
        }
        let next = Some(reply.text()?).filter(|cursor| cursor != "0");
        let seq = reply.int()?;
        let mut rows = Vec::new();
        while !reply.is_finished() {
            let tail: Tail = reply.parsed()?;
            let id = ReservationId::new(lane.clone(), tail);
            let state = reply.reservation_state()?;
            let quantity = reply.quantity()?;
            let fault = Some(reply.text()?).filter(|fault| !fault.is_empty());
            let order = if reply.int()? == 1 { Some(reply.order(&id.order())?) } else { None };
            rows.push(LaneRow { id, state, quantity, fault, order });
        }
        Ok(Some(Rows { next, seq, rows }))
    }
}
