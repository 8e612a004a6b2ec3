//! Audits a lane: whether its counters add up, and whether engine and order database agree row by row.
//!
//! The sale goes on meanwhile, so only states of the same moment are compared. Each look at the engine is one script,
//! which also returns the number of the lane's last event. The database is compared once it has written that event. An
//! order with later events is looked at again instead. So every reported difference is a real one.

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

/// Reservations or orders on one page. One page of reservations takes about 2 ms of Redis's time.
const PAGE_SIZE: u32 = 300;
/// The most reservations that one script recounts: about 10 ms of Redis's time.
const RECOUNT_AT_MOST: u32 = 10_000;
/// How many differences are described. All of them are counted.
const DESCRIBED_AT_MOST: usize = 100;
/// How often an order is looked at that changes meanwhile.
const LOOKS: u32 = 5;
/// Batches of 250 events that are copied before a comparison.
const COPY_BATCHES: u32 = 40;

/// What an audit of a lane found.
#[derive(Debug, Clone, Serialize)]
pub struct LaneAudit {
    pub lane: u16,
    pub standing: Standing,
    /// The number of the lane's last event. None if the lane is missing.
    pub events: Option<i64>,
    /// The number of the last event that the order database has written.
    pub written: i64,
    /// Events that could not be copied to the database, for example while it is locked. Their orders are not compared.
    pub behind: i64,
    #[serde(flatten)]
    pub counters: Option<Counters>,
    /// The recount of all reservations by one script. None for a lane too large for that; it is summed up page by page.
    pub recount: Option<Audit>,
    /// Reservations looked at.
    pub rows: u64,
    /// Orders compared with the database.
    pub compared: u64,
    /// Orders that were not compared, because they changed at every look.
    pub moving: u64,
    /// False when the timeout passed before the end.
    pub complete: bool,
    /// How many differences there are.
    pub different: u64,
    /// The first 100 differences, described.
    pub differences: Vec<String>,
}

/// The lane's counters of units.
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

/// Audits `lane` for at most `timeout` and one page. Copies waiting events to the database, and changes nothing else.
pub async fn audit<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    timeout: Duration,
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
        Standing::Rebuilding => report.differ("the lane is being rebuilt: reconcile".to_owned()),
        Standing::Gone => return Ok(report),
    }
    if copy_waiting_events(engine, sql, lane).await? {
        report.differ("the engine has another history than the order database: reconcile".to_owned());
    }
    let aside = recorded::orders_in_doubt(sql, lane).await?;
    if !aside.is_empty() {
        report.differ(format!("events of {} orders are set aside", aside.len()));
    }
    let Some(before) = engine.view(lane).await? else { return Ok(report) };
    report.counters = Some(Counters::of(&before));
    report.recount = engine.audit(lane, RECOUNT_AT_MOST).await?;
    if let Some(recount) = &report.recount {
        for difference in recount.differences() {
            report.differ(difference);
        }
    }

    let mut seen = HashSet::new();
    let mut sums = Sums::default();
    let mut cursor = None;
    loop {
        if begun.elapsed() >= timeout {
            report.complete = false;
            return Ok(report);
        }
        let Some(page) = engine.audit_rows(lane, cursor.as_deref(), PAGE_SIZE).await? else {
            return Ok(report);
        };
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
    find_orders_missing_in_engine(engine, sql, lane, &seen, begun + timeout, &mut report).await?;

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
        // The events up to a number say what the counters were at that number, whatever happens meanwhile.
        report.written = read::written(sql, lane).await?;
        if report.written < after.seq {
            copy_waiting_events(engine, sql, lane).await?;
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

/// Copies waiting events to the database. Returns whether the engine contradicts the database.
async fn copy_waiting_events<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
) -> Result<bool, CopyError> {
    match drain(engine, sql, lane, COPY_BATCHES).await {
        Ok(copied) => Ok(copied.events.contradicts),
        // The database can still be read, or the audit would have ended. Orders that it lacks are not compared.
        Err(CopyError::Sql(SqlError::Unavailable(_))) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Compares orders, as the engine had them at event `seq`, with the database.
///
/// An order that is looked at again is read between two looks at the lane's last event, `from` and `seq`. The database
/// must have written up to `seq`. If its last event of the order is then not later than `from`, nothing happened to the
/// order in between.
async fn compare<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    mut seq: i64,
    mut orders: Vec<OrderView>,
    report: &mut LaneAudit,
) -> Result<(), CopyError> {
    let mut from = seq;
    for _ in 0..LOOKS {
        if orders.is_empty() {
            return Ok(());
        }
        let mut written = read::written(sql, lane).await?;
        if written < seq {
            copy_waiting_events(engine, sql, lane).await?;
            written = read::written(sql, lane).await?;
        }
        let ids: Vec<OrderId> = orders.iter().map(|order| order.id.clone()).collect();
        let mut by_id: HashMap<OrderId, RecordedOrder> = recorded::orders(sql, &ids)
            .await?
            .into_iter()
            .map(|recorded| (recorded.order.id.clone(), recorded))
            .collect();
        let mut again = Vec::new();
        for order in orders {
            let difference = match by_id.remove(&order.id) {
                Some(recorded) if recorded.order == order => None,
                // The two are not of one moment: the order has later events, or earlier ones are not written yet.
                Some(recorded) if recorded.seq > from || written < seq => {
                    again.push(order);
                    continue;
                }
                None if written < seq => {
                    again.push(order);
                    continue;
                }
                Some(recorded) => Some(describe(&order, &recorded.order)),
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

/// Reports orders that the database has and the engine lacks.
async fn find_orders_missing_in_engine<R: Redis>(
    engine: &Engine<R>,
    sql: &impl Sql,
    lane: &Lane,
    seen: &HashSet<u64>,
    until: Instant,
    report: &mut LaneAudit,
) -> Result<(), CopyError> {
    let mut after: Option<OrderId> = None;
    loop {
        let orders = read::orders_of_lane(sql, lane, &OrderState::ALL, after.as_ref(), PAGE_SIZE).await?;
        for order in &orders {
            if !seen.contains(&number_of(order.id.tail.as_str()))
                && engine.order(&order.id, None).await?.is_none()
            {
                report.differ(format!("{}: the engine does not have it", order.id));
            }
        }
        match orders.last() {
            Some(last) if orders.len() == PAGE_SIZE as usize => after = Some(last.id.clone()),
            _ => return Ok(()),
        }
        if Instant::now() >= until {
            report.complete = false;
            return Ok(());
        }
    }
}

/// Describes the difference between two views of an order, without personal data.
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

/// A tail as a number: it is twelve digits to the base 36. Eight bytes take a quarter of the text's memory.
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
        if self.differences.len() < DESCRIBED_AT_MOST {
            self.differences.push(format!("lane {}: {difference}", self.lane));
        }
    }
}
