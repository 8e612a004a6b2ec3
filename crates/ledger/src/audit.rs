//! Whether a lane adds up in the engine, and whether engine and order database agree, row by row.
//!
//! A sale goes on meanwhile, so nothing is compared that does not belong to one moment. Every look at the engine is one
//! script, which also says the number of the lane's last event; the database, once it has written that far, is compared
//! with it unless later events tell of the same order, and then the order is looked at again. So what is called a
//! difference is one.

use crate::rebuild::{Standing, standing};
use crate::recorded::{self, RecordedOrder};
use crate::sql::{Sql, SqlError};
use crate::{CopyError, drain, read};
use sale::Engine;
use sale::ids::{Lane, OrderId};
use sale::order::OrderState;
use sale::reservation::ReservationState;
use sale::scripts::{Audit, LaneView, OrderView};
use sale::store::Redis;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Reservations that one script looks at: about 2 ms of Redis's time.
const ROWS: u32 = 300;
/// Reservations that may be recounted in one moment: about 10 ms of Redis's time.
const AT_ONCE: u32 = 10_000;
/// Differences that are told in words; the rest is counted.
const TOLD: usize = 100;
/// How often an order is looked at again that moved meanwhile.
const TRIES: u32 = 5;
/// Copies of 250 events before a comparison.
const COPIES: u32 = 40;

/// What an audit of a lane found.
#[derive(Debug, Clone, Serialize)]
pub struct LaneAudit {
    pub lane: u16,
    pub standing: Standing,
    /// The number of the lane's last event, and how far the order database has written. Nothing where there is no lane.
    pub events: Option<i64>,
    pub written: i64,
    /// Events that the database lacks and could not be brought, as while it is locked: what they tell of is not compared.
    pub behind: i64,
    #[serde(flatten)]
    pub counters: Option<Counters>,
    /// The recount of all reservations in one moment; nothing for a lane too large for that, which is summed up in pieces.
    pub recount: Option<Audit>,
    /// Reservations looked at, orders compared with the database, and those that moved whenever they were looked at.
    pub rows: u64,
    pub compared: u64,
    pub moving: u64,
    /// False when time was over before the end.
    pub complete: bool,
    /// How many differences there are, and up to 100 of them in words.
    pub different: u64,
    pub differences: Vec<String>,
}

/// Where the units of a lane are, by its own counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counters {
    pub total: i64,
    pub available: i64,
    pub held: i64,
    pub ordered: i64,
    pub sold: i64,
}

/// Units found in reservations, by state.
#[derive(Default)]
struct Sums {
    held: i64,
    ordered: i64,
    sold: i64,
}

/// Audits `lane` for as long as `patience` lasts. Changes nothing; but copies first what is on its way to the database.
pub async fn audit<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    patience: Duration,
) -> Result<LaneAudit, CopyError> {
    let begun = Instant::now();
    let mut report = LaneAudit {
        lane: lane.number,
        standing: standing(engine, sql, lane).await?,
        events: engine.position(lane).await?.seq,
        written: read::written(sql, lane).await?,
        behind: 0,
        counters: None,
        recount: None,
        rows: 0,
        compared: 0,
        moving: 0,
        complete: true,
        different: 0,
        differences: Vec::new(),
    };
    match report.standing {
        Standing::Sound => {}
        Standing::Behind => report.differ("Redis came back from an old copy: reconcile".to_owned()),
        Standing::Lost => report.differ("Redis has lost the lane: reconcile".to_owned()),
        Standing::Rebuilding => report.differ("the lane is being made anew: reconcile".to_owned()),
        Standing::Gone => return Ok(report),
    }
    if bring_up(engine, sql, lane).await? {
        report.differ("the engine tells another history than the order database: reconcile".to_owned());
    }
    let aside = recorded::orders_in_doubt(sql, lane).await?;
    if !aside.is_empty() {
        report.differ(format!("events of {} orders are set aside", aside.len()));
    }
    let Some(before) = engine.view(lane).await? else { return Ok(report) };
    report.counters = Some(Counters::of(&before));
    report.recount = engine.audit(lane, AT_ONCE).await?;
    if let Some(recount) = &report.recount {
        for difference in recount.differences() {
            report.differ(difference);
        }
    }

    let mut seen = HashSet::new();
    let mut sums = Sums::default();
    let mut cursor = None;
    loop {
        if begun.elapsed() >= patience {
            report.complete = false;
            return Ok(report);
        }
        let Some(page) = engine.rows(lane, cursor.as_deref(), ROWS).await? else { return Ok(report) };
        let mut orders = Vec::new();
        for row in page.rows {
            if !seen.insert(number_of(row.id.tail.as_str())) {
                continue;
            }
            report.rows += 1;
            sums.add(row.state, row.quantity, row.order.as_ref());
            if let Some(fault) = row.fault {
                report.differ(format!("{}: {fault}", row.id));
            }
            orders.extend(row.order);
        }
        compare(engine, sql, lane, page.seq, orders, &mut report).await?;
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    look_for_lost_orders(engine, sql, lane, &seen, begun + patience, &mut report).await?;

    if let Some(after) = engine.view(lane).await? {
        let still = (Counters::of(&before), before.admitted, before.waiting)
            == (Counters::of(&after), after.admitted, after.waiting);
        if report.recount.is_none() && still {
            for (what, counter, sum) in [
                ("held", after.held, sums.held),
                ("ordered", after.ordered, sums.ordered),
                ("sold", after.sold, sums.sold),
            ] {
                if counter != sum {
                    report.differ(format!("{what} is {counter}, the reservations say {sum}"));
                }
            }
        }
        // What the counters were at an event, the events up to it tell, whatever happens meanwhile.
        report.written = read::written(sql, lane).await?;
        if report.written < after.seq {
            bring_up(engine, sql, lane).await?;
            report.written = read::written(sql, lane).await?;
        }
        report.events = Some(after.seq);
        if report.written >= after.seq && aside.is_empty() {
            let (unpaid, paid) = recorded::units_at(sql, lane, after.seq).await?;
            for (what, counter, sum) in [("unpaid", after.ordered, unpaid), ("paid", after.sold, paid)] {
                if counter != sum {
                    let text = format!(
                        "{counter} units in {what} orders, {sum} by the events of the order database"
                    );
                    report.differ(text);
                }
            }
        }
        report.behind = (after.seq - report.written).max(0);
    }
    Ok(report)
}

/// Copies what is on its way to the database, as far as that takes it; answers whether the engine contradicts it.
async fn bring_up<R: Redis>(engine: &Engine<R>, sql: &impl Sql, lane: &Lane) -> Result<bool, CopyError> {
    match drain(engine, sql, lane, COPIES).await {
        Ok(copied) => Ok(copied.events.contradicts),
        // It can be read, or the audit would have ended; what it lacks is not compared.
        Err(CopyError::Sql(SqlError::Unavailable(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Compares orders, as the engine had them at event `seq`, with the database.
///
/// An order that is looked at again is read between two looks at the lane's last event, `from` and `seq`. If the database
/// has written up to `seq` and its last event of the order is not behind `from`, nothing happened to the order between.
async fn compare<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    mut seq: i64,
    mut orders: Vec<OrderView>,
    report: &mut LaneAudit,
) -> Result<(), CopyError> {
    let mut from = seq;
    for _ in 0..TRIES {
        if orders.is_empty() {
            return Ok(());
        }
        let mut written = read::written(sql, lane).await?;
        if written < seq {
            bring_up(engine, sql, lane).await?;
            written = read::written(sql, lane).await?;
        }
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id.clone()).collect();
        let mut recorded: HashMap<OrderId, RecordedOrder> = recorded::orders(sql, &ids)
            .await?
            .into_iter()
            .map(|whole| (whole.order.id.clone(), whole))
            .collect();
        let mut again = Vec::new();
        for order in orders {
            let difference = match recorded.remove(&order.id) {
                Some(whole) if whole.order == order => None,
                // Later events tell of it, or earlier ones have not come: not of one moment.
                Some(whole) if whole.seq > from || written < seq => {
                    again.push(order);
                    continue;
                }
                None if written < seq => {
                    again.push(order);
                    continue;
                }
                Some(whole) => Some(describe(&order, &whole.order)),
                None => Some("the order database does not have it".to_owned()),
            };
            report.compared += 1;
            if let Some(difference) = difference {
                report.differ(format!("{}: {difference}", order.id));
            }
        }
        from = engine.position(lane).await?.seq.unwrap_or(seq);
        orders = Vec::new();
        for order in again {
            orders.extend(engine.order(&order.id, None).await?.map(|(order, _)| order));
        }
        seq = engine.position(lane).await?.seq.unwrap_or(seq);
    }
    report.moving += orders.len() as u64;
    Ok(())
}

/// Orders that the database has and the engine has not.
async fn look_for_lost_orders<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    seen: &HashSet<u64>,
    until: Instant,
    report: &mut LaneAudit,
) -> Result<(), CopyError> {
    let mut after: Option<OrderId> = None;
    loop {
        let orders = read::orders_of_lane(sql, lane, &OrderState::ALL, after.as_ref(), ROWS).await?;
        for order in &orders {
            if !seen.contains(&number_of(order.id.tail.as_str()))
                && engine.order(&order.id, None).await?.is_none()
            {
                report.differ(format!("{}: the engine does not have it", order.id));
            }
        }
        match orders.last() {
            Some(last) if orders.len() == ROWS as usize => after = Some(last.id.clone()),
            _ => return Ok(()),
        }
        if Instant::now() >= until {
            report.complete = false;
            return Ok(());
        }
    }
}

/// Says in words what of an order differs, without what is personal.
fn describe(engine: &OrderView, recorded: &OrderView) -> String {
    if engine.state != recorded.state {
        let (engine, recorded) = (engine.state.as_str(), recorded.state.as_str());
        return format!("{engine} in the engine, {recorded} in the order database");
    }
    let what = if engine.payment != recorded.payment || engine.surplus != recorded.surplus {
        "payments"
    } else if (engine.quantity, &engine.unit_price) != (recorded.quantity, &recorded.unit_price) {
        "amounts"
    } else if engine.user != recorded.user {
        "shoppers"
    } else {
        "times"
    };
    format!("{what} differ between the engine and the order database")
}

/// A tail is a number of twelve digits to the base of 36: eight bytes where its text would be four times that.
fn number_of(tail: &str) -> u64 {
    u64::from_str_radix(tail, 36).unwrap_or_default()
}

impl Sums {
    fn add(&mut self, state: ReservationState, quantity: u32, order: Option<&OrderView>) {
        let units = i64::from(quantity);
        match (state, order.map(|order| order.state)) {
            (ReservationState::Held, _) => self.held += units,
            (ReservationState::Ordered, Some(OrderState::Unpaid)) => self.ordered += units,
            (ReservationState::Ordered, Some(OrderState::Paid)) => self.sold += units,
            _ => {}
        }
    }
}

impl Counters {
    fn of(view: &LaneView) -> Self {
        Counters {
            total: view.total,
            available: view.available,
            held: view.held,
            ordered: view.ordered,
            sold: view.sold,
        }
    }
}

impl LaneAudit {
    fn differ(&mut self, difference: String) {
        self.different += 1;
        if self.differences.len() < TOLD {
            self.differences.push(format!("lane {}: {difference}", self.lane));
        }
    }
}
