//! Redis trigger `stampede:grant`: drains a lane's queue into holds, batch after batch (script `grant`).
//!
//! The message names the lane; an empty message means all lanes. Draining twice changes nothing. If a message is lost, polls,
//! alarms and ticks do the work. If Redis refuses the work, the handler fails, and our host passes the message on again.

use sale::{Engine, work};
use web::SharedRedis;
use web::shop::worker;

/// Scripts in one run; each grants 500 reservations. Spin handles one message at a time, so a run stays short (about
/// 0.1 s) and rings the doorbell again for the rest.
const BATCHES: u32 = 40;

web::subscriber!("grant", handle, settings: [LOG_REQUESTS, REDIS_URL]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let mut failures = 0;
    for lane in work::hinted(&engine, &message).await? {
        match work::drain(&engine, &lane, BATCHES).await {
            Ok(done) => worker::log_done("grant", &lane, &done).await,
            Err(error) => {
                worker::log_failure("grant", &lane.to_string(), error);
                failures += 1;
            }
        }
    }
    anyhow::ensure!(failures == 0, "{failures} pieces of work failed");
    Ok(())
}
