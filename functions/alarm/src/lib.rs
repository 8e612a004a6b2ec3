//! Redis trigger `__keyevent@0__:expired`: a lane's alarm key lapsed, so holds or unpaid orders may have, too, or a
//! doorbell was lost (scripts `lapse`, `grant`, `purge`).
//!
//! Other keys that expire arrive here as well and are passed over. An empty message, which a runtime may send when its
//! subscription was interrupted, means all lanes.

use sale::{Engine, keys, work};
use web::SharedRedis;
use web::shop::worker;

/// Scripts of 500 reservations that one alarm may drain where the queue's doorbell was lost.
const BATCHES: u32 = 10;

web::subscriber!("alarm", handle, settings: [LOG_REQUESTS, REDIS_URL]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    let engine = Engine::new(SharedRedis);
    let lanes = if message.is_empty() {
        work::lanes(&engine).await?
    } else {
        std::str::from_utf8(&message).ok().and_then(keys::lane_of_alarm).into_iter().collect()
    };
    for lane in lanes {
        match work::lapse(&engine, &lane).await {
            Ok(done) => worker::log_done("alarm", &lane, &done).await,
            Err(error) => worker::log_failure("alarm", &lane.to_string(), error),
        }
        // What came back is for the next in line, whether or not the doorbell that the script rang is heard.
        match work::drain(&engine, &lane, BATCHES).await {
            Ok(done) => worker::log_done("alarm", &lane, &done).await,
            Err(error) => worker::log_failure("alarm", &lane.to_string(), error),
        }
    }
    Ok(())
}
