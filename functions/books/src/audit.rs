//! Whether an item adds up: in the engine, and between the engine and the order database.

use order_ledger::{poison, read};
use sale::catalogue::Item;
use sale::ids::{ItemId, Lane};
use sale::order::OrderState;
use sale::scripts::{Audit, LaneView};
use sale::{Engine, work};
use serde::Serialize;
use web::{Problem, Response, SharedRedis};

use crate::open_ledger;

/// Events that a reconciliation copies at a time, and how often at most.
const COPY_BATCH: u32 = 500;
const COPY_BATCHES: u32 = 200;
/// Events set aside that a reconciliation tries again.
const RETRIED: u32 = 1_000;

/// The lanes of an item.
fn lanes(item: &Item) -> impl Iterator<Item = Lane> {
    (0..item.lanes.max(1)).map(|number| Lane::new(item.id.clone(), number))
}

#[derive(Serialize)]
struct Report {
    item_id: ItemId,
    /// Whether there is no difference at all.
    consistent: bool,
    /// Every difference, in words.
    differences: Vec<String>,
    lanes: Vec<LaneReport>,
    /// Orders in the order database by lane and state; nothing when it can't be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Vec<read::Total>>,
}

#[derive(Serialize)]
struct LaneReport {
    lane: u16,
    /// Events on their way to the order database: until they are there, it is behind, and is not compared.
    outbox: u64,
    #[serde(flatten)]
    audit: Audit,
}

/// Recounts the item. Changes nothing.
pub async fn audit(engine: &Engine<SharedRedis>, item: &Item) -> Result<Response, Problem> {
    Ok(Response::ok(&report(engine, item).await?))
}

async fn report(engine: &Engine<SharedRedis>, item: &Item) -> Result<Report, Problem> {
    let mut differences = Vec::new();
    let mut reports = Vec::new();
    let mut recorded = None;
    for lane in lanes(item) {
        let Some(audit) = engine.audit(&lane).await? else { continue };
        // The database is asked between two looks at the lane. Only when nothing was on its way at either, and nothing
        // happened in between, do the two speak of the same moment.
        let before = engine.view(&lane).await?;
        recorded = match open_ledger().await {
            Ok(sql) => read::totals(&sql, &item.id).await.ok(),
            Err(_) => None,
        };
        let after = engine.view(&lane).await?;
        let still = match (&before, &after) {
            (Some(before), Some(after)) => {
                let orders = |view: &LaneView| (view.outbox, view.ordered, view.sold);
                before.outbox == 0
                    && orders(before) == orders(after)
                    && (after.ordered, after.sold) == (audit.ordered, audit.sold)
            }
            _ => false,
        };
        differences.extend(
            audit.differences().into_iter().map(|difference| format!("lane {}: {difference}", lane.number)),
        );
        if let Some(recorded) = recorded.as_ref().filter(|_| still) {
            differences.extend(compare(&lane, &audit, recorded));
        }
        reports.push(LaneReport { lane: lane.number, outbox: after.map_or(0, |view| view.outbox), audit });
    }
    if recorded.is_none() {
        differences.push("the order database can't be asked".to_owned());
    }
    if reports.is_empty() {
        return Err(Problem::conflict("The item is not published, or has left Redis"));
    }
    Ok(Report {
        item_id: item.id.clone(),
        consistent: differences.is_empty(),
        differences,
        lanes: reports,
        recorded,
    })
}

fn compare(lane: &Lane, audit: &Audit, recorded: &[read::Total]) -> Vec<String> {
    let units = |state: OrderState| {
        recorded
            .iter()
            .filter(|total| total.lane == lane.number && total.state == state)
            .map(|total| total.quantity)
            .sum::<i64>()
    };
    [
        ("unpaid", audit.counted_ordered, units(OrderState::Unpaid)),
        ("paid", audit.counted_sold, units(OrderState::Paid)),
    ]
    .into_iter()
    .filter(|(_, engine, database)| engine != database)
    .map(|(state, engine, database)| {
        format!("lane {}: {engine} units in {state} orders, {database} in the order database", lane.number)
    })
    .collect()
}

#[derive(Serialize)]
struct Mended {
    /// Events that were written to the order database.
    recorded: usize,
    /// Events that had been set aside and could be written now.
    retried: usize,
    #[serde(flatten)]
    done: work::Done,
    #[serde(flatten)]
    report: Report,
}

/// Does what is overdue, copies what the order database lacks, and recounts.
pub async fn reconcile(engine: &Engine<SharedRedis>, item: &Item) -> Result<Response, Problem> {
    let sql = open_ledger().await?;
    let (mut recorded, mut done) = (0, work::Done::default());
    for lane in lanes(item) {
        done.add(work::lapse(engine, &lane).await?);
        done.add(work::drain(engine, &lane, COPY_BATCHES).await?);
        for _ in 0..COPY_BATCHES {
            let copied =
                order_ledger::copy(engine, &sql, &lane, COPY_BATCH).await.map_err(Problem::unavailable)?;
            recorded += copied.events.applied;
            if !copied.more() {
                break;
            }
        }
    }
    let retried = poison::retry(&sql, RETRIED, 0).await.map_err(Problem::unavailable)?.applied;
    let report = report(engine, item).await?;
    Ok(Response::ok(&Mended { recorded, retried, done, report }))
}
