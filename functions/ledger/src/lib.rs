//! Redis trigger `stampede:ledger`: copies order events from a lane's outbox into the order database (scripts `read_outbox`,
//! `acknowledge`).
//!
//! The message names the lane; an empty message means all lanes. A database that hangs ends a run within half a second,
//! because Spin handles one message at a time: grants and alarms would wait. Copying twice changes nothing. If a message is lost, alarms
//! and ticks do the work. While the database is locked or gone, events stay in the outbox, and the lane's alarm rings every
//! second.
//!
//! After Redis came back from an old copy, a lane knows less than the database. This function then rebuilds the lane (scripts
//! of the folder `rebuild`). It looks for such lanes when events contradict the database, and after each reconnection: a
//! runtime that reaches Redis again sends an empty message. If Redis refuses the work, the handler fails, and our host passes
//! the message on again. A rebuild that is not finished in one run rings for the next one,
//! and so do the lane's alarm and ticks.

use order_ledger::rebuild::{Rebuilt, go_on, rebuild_unless_lost};
use order_ledger::{CopyError, drain, read, spin};
use sale::ids::Lane;
use sale::{Engine, work};
use std::time::Duration;
use web::SharedRedis;
use web::shop::worker;

/// Copies in one run; each takes 250 events. Spin handles one message at a time, so a run stays short (about 0.1 s) and
/// rings the doorbell again for the rest.
const BATCHES: u32 = 8;
/// How long one run rebuilds lanes before it rings again.
const PATIENCE: Duration = Duration::from_millis(500);

web::subscriber!("ledger", handle, settings: [REDIS_URL, LEDGER]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let mut lanes = work::hinted(&engine, &message).await?;
    let sql = match spin::open_for_worker().await {
        Ok(sql) => sql,
        Err(problem) => {
            worker::log_failure("ledger", &hint(&lanes), problem.cause().unwrap_or_default());
            return later(&message);
        }
    };
    if message.is_empty() {
        // Also the lanes that Redis has lost completely.
        lanes.extend(read::lanes(&sql).await?.into_iter().map(|(lane, _)| lane));
        lanes.sort();
        lanes.dedup();
        for lane in &lanes {
            if check(&engine, &sql, lane).await.is_err() {
                return later(&message);
            }
        }
    }
    let mut failures = 0;
    for lane in &lanes {
        if !message.is_empty() && report(lane, go_on(&engine, &sql, lane, PATIENCE).await).is_err() {
            return Ok(());
        }
        match drain(&engine, &sql, lane, BATCHES).await {
            Ok(copied) if copied.is_nothing() => {}
            Ok(copied) => {
                worker::log_work("ledger", lane, &copied, copied.is_odd());
                if copied.events.contradicts && check(&engine, &sql, lane).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => {
                worker::log_failure("ledger", &lane.to_string(), &error);
                if is_database(&error) {
                    return later(&message);
                }
                failures += 1;
            }
        }
    }
    anyhow::ensure!(failures == 0, "{failures} pieces of work failed");
    Ok(())
}

/// What a message comes to while the order database is in trouble. A named lane's alarm rings again every second. Nothing
/// rings again for the check of all lanes, so that message fails, and our host passes it on again.
fn later(message: &[u8]) -> anyhow::Result<()> {
    anyhow::ensure!(!message.is_empty(), "the order database is in trouble, so not all lanes were checked");
    Ok(())
}

/// The order database is in trouble. Every other lane would wait for it, one timeout after the other.
struct Trouble;

/// Rebuilds a lane that knows less than the database. If it is lost completely, an operator must reconcile it.
async fn check(engine: &Engine<SharedRedis>, sql: &spin::Database, lane: &Lane) -> Result<(), Trouble> {
    report(lane, rebuild_unless_lost(engine, sql, lane, PATIENCE).await)
}

/// Logs what was rebuilt of a lane, or why nothing was.
fn report(lane: &Lane, outcome: Result<Rebuilt, CopyError>) -> Result<(), Trouble> {
    match outcome {
        Ok(rebuilt) if rebuilt.rebuilt => worker::log_work("ledger", lane, &rebuilt, true),
        Ok(_) => {}
        Err(error) => {
            worker::log_failure("ledger", &lane.to_string(), &error);
            if is_database(&error) {
                return Err(Trouble);
            }
        }
    }
    Ok(())
}

fn is_database(error: &CopyError) -> bool {
    matches!(error, CopyError::Sql(_))
}

/// The lane of a failure for the log; `*` for all lanes.
fn hint(lanes: &[Lane]) -> String {
    match lanes {
        [lane] => lane.to_string(),
        _ => "*".to_owned(),
    }
}
