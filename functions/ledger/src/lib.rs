//! Redis trigger `stampede:ledger`: copies order events from a lane's outbox into the order database (scripts
//! `read_outbox`, `acknowledge`).
//!
//! The message hints at the lane; without one, all lanes are looked at. Copying twice changes nothing, and a message
//! that never arrives is made up for by alarms and ticks. While the database is locked or gone, events stay in the
//! outbox, and the lane's alarm rings again every second.
//!
//! A lane that knows less than the database, because Redis came back from an old copy, is taken out of the sale and made
//! anew (scripts `unseat`, `restore`, `retell`, `regrant`, `seat`). That is looked for whenever a runtime has reached
//! Redis again, which rings without a lane, and whenever events contradict what is written.

use order_ledger::rebuild::rebuild_unless_lost;
use order_ledger::{CopyError, drain, read, spin};
use sale::ids::Lane;
use sale::{Engine, keys, work};
use std::time::Duration;
use web::{SharedRedis, settings, worker};

/// Copies of 250 events in one run. Spin takes one message at a time, so a run stays short (about 0.1 s) and rings
/// again for the rest.
const BATCHES: u32 = 8;
/// How long one run makes lanes anew before it rings again.
const PATIENCE: Duration = Duration::from_secs(2);

#[spin_sdk::redis_subscriber]
async fn ledger(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let mut lanes = work::hinted(&engine, &message).await?;
    let opened = match settings::text("ledger").await {
        Ok(setting) => spin::open(&setting).await.map_err(|error| error.to_string()),
        Err(problem) => Err(problem.cause().unwrap_or_default().to_owned()),
    };
    let sql = match opened {
        Ok(sql) => sql,
        Err(cause) => {
            worker::log_failure("ledger", &hint(&lanes), cause);
            return Ok(());
        }
    };
    if message.is_empty() {
        // Also the lanes that Redis has forgotten altogether.
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
                    // The other lanes would wait for the same database, one patience after the other.
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Makes a lane anew that knows less than the database; one that is lost altogether is an operator's to reconcile.
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

/// The lane that a failure concerns, in the log; a `*` for all.
fn hint(lanes: &[Lane]) -> String {
    match lanes {
        [lane] => lane.to_string(),
        _ => "*".to_owned(),
    }
}
