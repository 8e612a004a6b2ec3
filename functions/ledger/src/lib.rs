//! Redis trigger `stampede:ledger`: copies order events from a lane's outbox into the order database (scripts
//! `read_outbox`, `acknowledge`).
//!
//! The message hints at the lane; without one, all lanes are looked at. Copying twice changes nothing, and a message
//! that never arrives is made up for by alarms and ticks. While the database is locked or gone, events stay in the
//! outbox, and the lane's alarm rings again every second.

use order_ledger::{CopyError, drain, spin};
use sale::{Engine, work};
use web::{SharedRedis, settings, worker};

/// Copies of 250 events in one run. Spin takes one message at a time, so a run stays short (about 0.1 s) and rings
/// again for the rest.
const BATCHES: u32 = 8;

#[spin_sdk::redis_subscriber]
async fn ledger(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let lanes = work::hinted(&engine, &message).await?;
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
    for lane in &lanes {
        match drain(&engine, &sql, lane, BATCHES).await {
            Ok(copied) if copied.is_nothing() => {}
            Ok(copied) => worker::log_work("ledger", lane, &copied, copied.is_odd()),
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

/// The lane that a failure concerns, in the log; a `*` for all.
fn hint(lanes: &[sale::ids::Lane]) -> String {
    match lanes {
        [lane] => lane.to_string(),
        _ => "*".to_owned(),
    }
}
