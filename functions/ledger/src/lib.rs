//! Redis trigger `stampede:ledger`: copies order events from a lane's outbox into the order database (scripts `read_outbox`,
//! `acknowledge`).
//!
//! The message names the lane; an empty message means all lanes. Copying twice changes nothing. If a message is lost, alarms
//! and ticks do the work. While the database is locked or gone, events stay in the outbox, and the lane's alarm rings every
//! second.
//!
//! After Redis came back from an old copy, a lane knows less than the database. This function then rebuilds the lane (scripts
//! of the folder `rebuild`: begin, orders, untold, holds, finish). It looks for such lanes when events contradict the database,
//! and after each reconnection: a runtime that reaches Redis again sends an empty message.

use order_ledger::rebuild::rebuild_unless_lost;
use order_ledger::{CopyError, drain, read, spin};
use sale::ids::Lane;
use sale::{Engine, keys, work};
use std::time::Duration;
use web::SharedRedis;
use web::shop::worker;

/// Copies in one run; each takes 250 events. Spin handles one message at a time, so a run stays short (about 0.1 s) and
/// rings the doorbell again for the rest.
const BATCHES: u32 = 8;
/// How long one run rebuilds lanes before it rings again.
const PATIENCE: Duration = Duration::from_secs(2);

web::subscriber!("ledger", handle, settings: [REDIS_URL, LEDGER]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let mut lanes = work::hinted(&engine, &message).await?;
    let sql = match spin::open().await {
        Ok(sql) => sql,
        Err(problem) => {
            worker::log_failure("ledger", &hint(&lanes), problem.cause().unwrap_or_default());
            return Ok(());
        }
    };
    if message.is_empty() {
        // Also the lanes that Redis has lost completely.
        lanes.extend(read::lanes(&sql).await?.into_iter().map(|(lane, _)| lane));
        lanes.sort();
        lanes.dedup();
        for lane in &lanes {
            check(&engine, &sql, lane).await;
        }
    }
    for lane in &lanes {
        match drain(&engine, &sql, lane, BATCHES).await {
            Ok(copied) if copied.is_nothing() => {}
            Ok(copied) => {
                worker::log_work("ledger", lane, &copied, copied.is_odd());
                if copied.events.contradicts {
                    check(&engine, &sql, lane).await;
                }
            }
            Err(error) => {
                worker::log_failure("ledger", &lane.to_string(), &error);
                if let CopyError::Sql(_) = error {
                    // Every other lane would wait for the same database, one timeout after the other.
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Rebuilds a lane that knows less than the database. If it is lost completely, an operator must reconcile it.
async fn check(engine: &Engine<SharedRedis>, sql: &spin::Database, lane: &Lane) {
    match rebuild_unless_lost(engine, sql, lane, PATIENCE).await {
        Ok(rebuilt) => {
            if rebuilt.rebuilt {
                worker::log_work("ledger", lane, &rebuilt, true);
            }
            if rebuilt.rebuilt && !rebuilt.finished {
                let hint = lane.to_string();
                let bell = [keys::LEDGER_DOORBELL.as_bytes(), hint.as_bytes()];
                let _ = sale::store::Redis::execute(engine.redis(), "PUBLISH", &bell).await;
            }
        }
        Err(error) => worker::log_failure("ledger", &lane.to_string(), error),
    }
}

/// The lane of a failure for the log; `*` for all lanes.
fn hint(lanes: &[Lane]) -> String {
    match lanes {
        [lane] => lane.to_string(),
        _ => "*".to_owned(),
    }
}
