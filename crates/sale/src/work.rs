//! The work that doorbells and alarms call for, in bounded pieces. Functions, polls and ticks all call these functions, so they
//! all do the same. Doing a piece twice changes nothing.

use crate::ids::Lane;
use crate::keys::{GRANT_DOORBELL, LANES};
use crate::scripts::{Engine, EngineError, Granted, Lapsed, Purged};
use crate::store::Redis;
use serde::Serialize;

/// Reservations decided by one script: about 2 ms of Redis's time.
const GRANT_BATCH: u32 = 500;
/// Lapsed holds and orders that one script ends.
const LAPSE_BATCH: u32 = 200;

/// What a piece of work came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    pub held: u64,
    pub sold_out: u64,
    pub rejected: u64,
    pub expired: u64,
    pub timed_out: u64,
    pub purged: u64,
}

impl Done {
    pub fn is_nothing(&self) -> bool {
        *self == Done::default()
    }

    pub fn add(&mut self, other: Done) {
        self.held += other.held;
        self.sold_out += other.sold_out;
        self.rejected += other.rejected;
        self.expired += other.expired;
        self.timed_out += other.timed_out;
        self.purged += other.purged;
    }
}

/// Drains the queue of `lane`, up to `batches` scripts, and rings for the rest.
pub async fn drain<R: Redis>(engine: &Engine<R>, lane: &Lane, batches: u32) -> Result<Done, EngineError> {
    let mut done = Done::default();
    for batch in 1..=batches {
        let Granted::Drained { held, sold_out, rejected, waiting, .. } =
            engine.grant(lane, GRANT_BATCH).await?
        else {
            return Ok(done);
        };
        done.add(Done { held, sold_out, rejected, ..Done::default() });
        if waiting == 0 {
            return Ok(done);
        }
        if batch == batches {
            engine
                .redis()
                .execute("PUBLISH", &[GRANT_DOORBELL.as_bytes(), lane.to_string().as_bytes()])
                .await?;
        }
    }
    Ok(done)
}

/// Does what the lane's alarm calls for: ends what lapsed, and purges the lane when its time is over.
pub async fn lapse<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<Done, EngineError> {
    let mut done = Done::default();
    loop {
        let Some(Lapsed { holds, orders, overdue, purge_due, .. }) = engine.lapse(lane, LAPSE_BATCH).await?
        else {
            forget_unless_there(engine, lane).await?;
            return Ok(done);
        };
        done.add(Done { expired: holds, timed_out: orders, ..Done::default() });
        if overdue > 0 {
            continue;
        }
        if purge_due {
            engine.collect_changes(lane).await?;
        }
        if purge_due && engine.purge(lane).await? == Purged::Done {
            done.purged += 1;
        }
        return Ok(done);
    }
}

/// The lanes that have keys, first lanes first.
pub async fn lanes<R: Redis>(engine: &Engine<R>) -> Result<Vec<Lane>, EngineError> {
    let replies = engine.redis().execute("SMEMBERS", &[LANES.as_bytes()]).await?;
    let mut lanes: Vec<Lane> = replies.iter().filter_map(|reply| reply.text()?.parse().ok()).collect();
    lanes.sort();
    Ok(lanes)
}

/// Notes that `lane` has keys, so that ticks visit it. Call it after the keys exist: a tick forgets a lane without keys.
pub async fn remember<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<(), EngineError> {
    engine.redis().execute("SADD", &[LANES.as_bytes(), lane.to_string().as_bytes()]).await?;
    Ok(())
}

/// Strikes a lane off the list if it has no keys. A lane that is being rebuilt has some.
async fn forget_unless_there<R: Redis>(engine: &Engine<R>, lane: &Lane) -> Result<(), EngineError> {
    let is_there = async || {
        let position = engine.position(lane).await?;
        Ok::<_, EngineError>(position.seq.is_some() || position.rebuilding)
    };
    if is_there().await? {
        return Ok(());
    }
    engine.redis().execute("SREM", &[LANES.as_bytes(), lane.to_string().as_bytes()]).await?;
    // A rebuild or a publication may have begun between the two steps.
    if is_there().await? {
        remember(engine, lane).await?;
    }
    Ok(())
}

/// The lanes that a doorbell's message means: the one that it names, or all if it names none.
pub async fn hinted<R: Redis>(engine: &Engine<R>, message: &[u8]) -> Result<Vec<Lane>, EngineError> {
    match std::str::from_utf8(message).ok().and_then(|text| text.parse().ok()) {
        Some(lane) => Ok(vec![lane]),
        None => lanes(engine).await,
    }
}
