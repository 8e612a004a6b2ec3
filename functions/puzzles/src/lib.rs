//! Redis trigger `stampede:puzzles`: draws pictures for challenges ahead, into the pool from which `captcha` takes them.
//!
//! The message says which slots to look at; an empty message means all. A run draws one batch, which takes some milliseconds,
//! and rings again for the rest, so that other doorbells are heard in between. If a message is lost, `captcha` draws its
//! pictures itself. No script: batches are in the key-value store.

use sale::keys::PUZZLES_DOORBELL;
use web::shop::challenge::Challenges;
use web::shop::puzzles::{self, Asked, BATCH, Ready};
use web::shop::worker;
use web::{Problem, SharedRedis};

web::subscriber!("puzzles", handle, settings: [REDIS_URL, SESSION_SECRET, CAPTCHA_KIND, CAPTCHA_DIFFICULTY, PUZZLE_POOL]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    if let Err(problem) = fill_one(&message).await {
        worker::log_failure("puzzles", "-", problem.cause().unwrap_or("a setting"));
    }
    Ok(())
}

async fn fill_one(message: &[u8]) -> Result<(), Problem> {
    let Some(pool) = puzzles::pool().await? else { return Ok(()) };
    let asked = Asked::of(message, pool.slots);
    let Some((slot, rest)) = first_empty(asked, pool.slots).await? else { return Ok(()) };
    let challenges = Challenges::shared().await?;
    let batch: Vec<Ready> = (0..BATCH).map(|_| Ready::draw(&challenges, pool.characters)).collect();
    puzzles::put(&challenges, slot, &batch).await?;
    if rest.count > 0 {
        SharedRedis.publish(PUZZLES_DOORBELL, &rest.to_string()).await?;
    }
    Ok(())
}

/// The first empty slot among those asked for, and the slots after it that are still to look at.
async fn first_empty(asked: Asked, slots: usize) -> Result<Option<(usize, Asked)>, Problem> {
    for looked in 0..asked.count {
        let slot = (asked.from + looked) % slots;
        if !puzzles::is_full(slot).await? {
            let rest = Asked { from: (slot + 1) % slots, count: asked.count - looked - 1 };
            return Ok(Some((slot, rest)));
        }
    }
    Ok(None)
}
