//! Audits items, in Redis and against the order database, and rebuilds what Redis lost.

use order_ledger::audit::{LaneAudit, audit as audit_lane};
use order_ledger::rebuild::{Rebuilt, rebuild, restore_documents};
use order_ledger::{copy, read, set_aside, spin};
use sale::catalogue::Item;
use sale::ids::{ItemId, Lane};
use sale::{Engine, work};
use serde::Serialize;
use std::time::{Duration, Instant};
use web::shop::catalogue;
use web::{Problem, Response, SharedRedis};

/// How long one call audits, and how long it mends. Together they stay below a request's timeout; the next call does the
/// rest.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that a reconciliation copies at a time, and how often it does so at most.
const COPY_BATCH: u32 = 500;
const COPY_BATCHES: u32 = 200;
/// Scripts that a reconciliation may run to drain one lane's queue; each grants 500 reservations.
const GRANT_BATCHES: u32 = 40;
/// Events that were set aside and that a reconciliation tries again, at most.
const RETRIED: u32 = 1_000;

#[derive(Serialize)]
struct Report {
    item_id: ItemId,
    /// Whether everything was compared and nothing differs.
    consistent: bool,
    /// Differences in words, up to 100 a lane.
    differences: Vec<String>,
    lanes: Vec<LaneAudit>,
    /// Orders in the order database by lane and state.
    recorded: Vec<read::Total>,
}

/// The lanes of the item. Its document names them; if Redis lost it, the order database does.
async fn lanes(
    engine: &Engine<SharedRedis>,
    sql: &spin::Database,
    id: &str,
) -> Result<(ItemId, Vec<Lane>), Problem> {
    let no_item = Problem::NotFound { what: "item" };
    let id: ItemId = id.parse().map_err(|_| no_item.clone())?;
    if let Some(item) = engine.document::<Item>(id.as_str()).await? {
        let lanes = (0..item.lanes.max(1)).map(|number| Lane::new(id.clone(), number)).collect();
        return Ok((id, lanes));
    }
    let known = read::lanes(sql).await?;
    let lanes: Vec<Lane> = known.into_iter().map(|(lane, _)| lane).filter(|lane| lane.item == id).collect();
    if lanes.is_empty() { Err(no_item) } else { Ok((id, lanes)) }
}

/// Recounts the item, and compares it with the order database. Changes nothing.
pub async fn audit(engine: &Engine<SharedRedis>, id: &str) -> Result<Response, Problem> {
    let sql = spin::open().await?;
    let (id, lanes) = lanes(engine, &sql, id).await?;
    Ok(Response::ok(&report(engine, &sql, id, &lanes).await?))
}

async fn report(
    engine: &Engine<SharedRedis>,
    sql: &spin::Database,
    item_id: ItemId,
    lanes: &[Lane],
) -> Result<Report, Problem> {
    let mut audits = Vec::new();
    for lane in lanes {
        audits.push(audit_lane(engine, sql, lane, PATIENCE).await?);
    }
    if audits.iter().all(|audit| audit.counters.is_none() && audit.different == 0) {
        return Err(Problem::conflict("The item is not published, or has left Redis"));
    }
    Ok(Report {
        recorded: read::totals(sql, &item_id).await?,
        item_id,
        consistent: audits.iter().all(|audit| audit.complete && audit.different == 0),
        differences: audits.iter().flat_map(|audit| audit.differences.iter().cloned()).collect(),
        lanes: audits,
    })
}

/// What a reconciliation did for one item.
#[derive(Serialize, Default)]
struct Mended {
    /// Events that were written to the order database.
    copied: usize,
    #[serde(flatten)]
    done: work::Done,
    /// Lanes that were rebuilt; `finished` is false when another call has more to do.
    #[serde(flatten)]
    rebuilt: Rebuilt,
}

#[derive(Serialize)]
struct Reconciled {
    /// Events that had been set aside and could be written now.
    retried: usize,
    #[serde(flatten)]
    mended: Mended,
    #[serde(flatten)]
    report: Report,
}

/// Rebuilds what Redis lost of the item, does overdue work, copies what the order database lacks, and audits.
pub async fn reconcile(engine: &Engine<SharedRedis>, id: &str) -> Result<Response, Problem> {
    let sql = spin::open().await?;
    let (id, lanes) = lanes(engine, &sql, id).await?;
    let retried = retry(&sql).await?;
    let mended = mend(engine, &sql, &lanes, PATIENCE).await?;
    let report = report(engine, &sql, id, &lanes).await?;
    Ok(Response::ok(&Reconciled { retried, mended, report }))
}

#[derive(Serialize)]
struct AllReconciled {
    /// Events that had been set aside and could be written now.
    retried: usize,
    items: usize,
    #[serde(flatten)]
    mended: Mended,
}

/// Reconciles every item in Redis or the order database, for an operator who lost Redis and can't name the items.
pub async fn reconcile_all(engine: &Engine<SharedRedis>) -> Result<Response, Problem> {
    let begun = Instant::now();
    let sql = spin::open().await?;
    let retried = retry(&sql).await?;
    let known = read::lanes(&sql).await?;
    let mut lanes: Vec<Lane> = known.into_iter().map(|(lane, _)| lane).collect();
    lanes.extend(work::lanes(engine).await?);
    lanes.sort();
    lanes.dedup();
    let mut all = AllReconciled {
        retried,
        items: 0,
        mended: Mended { rebuilt: Rebuilt { finished: true, ..Rebuilt::default() }, ..Mended::default() },
    };
    for of_item in lanes.chunk_by(|left, right| left.item == right.item) {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        if left.is_zero() {
            all.mended.rebuilt.finished = false;
            break;
        }
        all.mended.add(mend(engine, &sql, of_item, left).await?);
        all.items += 1;
    }
    Ok(Response::ok(&all))
}

async fn retry(sql: &spin::Database) -> Result<usize, Problem> {
    Ok(set_aside::retry(sql, RETRIED, 0).await?.applied)
}

/// Mends the lanes of one item.
async fn mend(
    engine: &Engine<SharedRedis>,
    sql: &spin::Database,
    lanes: &[Lane],
    patience: Duration,
) -> Result<Mended, Problem> {
    let begun = Instant::now();
    let mut mended =
        Mended { rebuilt: Rebuilt { finished: true, ..Rebuilt::default() }, ..Mended::default() };
    for lane in lanes {
        let documents = restore_documents(engine, sql, lane).await?;
        // First write every event that can be written; a rebuild would miss the others.
        let (copied, contradicts) = record(engine, sql, lane).await?;
        let left = patience.saturating_sub(begun.elapsed());
        let rebuilt = rebuild(engine, sql, lane, contradicts, left).await?;
        let finished = rebuilt.finished;
        let mut done = Mended { copied, rebuilt, ..Mended::default() };
        if finished {
            done.done.add(work::lapse(engine, lane).await?);
            done.done.add(work::drain(engine, lane, GRANT_BATCHES).await?);
            done.copied += record(engine, sql, lane).await?.0;
        }
        if let Some(documents) = documents.filter(|_| done.rebuilt.rebuilt)
            && let Err(problem) = catalogue::announce_item(&documents.item.id).await
        {
            web::shop::worker::log_failure("books", &lane.to_string(), problem.cause().unwrap_or_default());
        }
        mended.add(done);
    }
    Ok(mended)
}

/// Copies a lane's outbox. Returns how many events were written, and whether they contradict the order database.
async fn record(
    engine: &Engine<SharedRedis>,
    sql: &spin::Database,
    lane: &Lane,
) -> Result<(usize, bool), Problem> {
    let mut recorded = 0;
    for _ in 0..COPY_BATCHES {
        let copied = copy(engine, sql, lane, COPY_BATCH).await?;
        recorded += copied.events.applied;
        if copied.events.contradicts {
            return Ok((recorded, true));
        }
        if !copied.more() {
            break;
        }
    }
    Ok((recorded, false))
}

impl Mended {
    fn add(&mut self, other: Mended) {
        self.copied += other.copied;
        self.done.add(other.done);
        self.rebuilt.rebuilt |= other.rebuilt.rebuilt;
        self.rebuilt.finished &= other.rebuilt.finished;
        self.rebuilt.orders += other.rebuilt.orders;
        self.rebuilt.retold += other.rebuilt.retold;
        self.rebuilt.cancelled += other.rebuilt.cancelled;
        self.rebuilt.ended += other.rebuilt.ended;
    }
}
