//! Redis trigger `__keyevent@0__:expired`: a lane's alarm key expired, so deadlines may have passed.
//!
//! Returns the units of lapsed holds and unpaid orders to stock (script `lapse`), and clears away lanes whose time is over
//! (script `purge`). Then it drains the queue (script `grant`), because units came back or a doorbell was lost.
//!
//! Other keys that expire arrive here too and are ignored. A runtime may send an empty message after its subscription was
//! interrupted; it means all lanes.
//!
//! An alarm key expires once. If Redis then refuses the work, the handler fails, and our host passes the message on again.
//! Under Spin the lane's next script sets the alarm again, and otherwise the next tick does the work.

use sale::{Engine, keys, work};
use web::SharedRedis;
use web::shop::worker;

/// Scripts that one alarm may run to drain a queue; each grants 500 reservations.
const BATCHES: u32 = 10;

web::subscriber!("alarm", handle, settings: [LOG_REQUESTS, REDIS_URL]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let lanes = if message.is_empty() {
        work::lanes(&engine).await?
    } else {
        std::str::from_utf8(&message).ok().and_then(keys::lane_of_alarm).into_iter().collect()
    };
    let mut failures = 0;
    for lane in lanes {
        match work::lapse(&engine, &lane).await {
            Ok(done) => worker::log_done("alarm", &lane, &done).await,
            Err(error) => {
                worker::log_failure("alarm", &lane.to_string(), error);
                failures += 1;
            }
        }
        // Units that came back go to the next in the queue, even if nobody hears the doorbell that the script rang.
        match work::drain(&engine, &lane, BATCHES).await {
            Ok(done) => worker::log_done("alarm", &lane, &done).await,
            Err(error) => {
                worker::log_failure("alarm", &lane.to_string(), error);
                failures += 1;
            }
        }
    }
    anyhow::ensure!(failures == 0, "{failures} pieces of work failed");
    Ok(())
}
