//! Where a challenge's picture comes from: drawn on the spot, or, in a crowd, from the pool of those drawn ahead.

use std::cell::{Cell, RefCell};

use sale::keys::PUZZLES_DOORBELL;
use web::shop::challenge::Challenges;
use web::shop::puzzles::{self, Asked, Ready, Taken};
use web::{Problem, SharedRedis};

/// So many pictures an instance draws before it takes a batch. An instance lives for a hundred requests or so in a crowd;
/// where it serves two and is dropped, a batch would be drawn for nothing.
const DRAWN_FIRST: u32 = 2;
/// How many slots the pool is asked to look after where one was found empty.
const SLOTS_ASKED: usize = 4;

thread_local! {
    /// What is left of the batch that this instance took.
    static LEFT: RefCell<Vec<Ready>> = const { RefCell::new(Vec::new()) };
    static ISSUED: Cell<u32> = const { Cell::new(0) };
    /// Whether a request of this instance is taking a batch; the others draw meanwhile.
    static TAKING: Cell<bool> = const { Cell::new(false) };
}

/// A picture that nobody has seen.
pub async fn next(challenges: &Challenges, characters: u8) -> Result<Ready, Problem> {
    let drawn = || Ready::draw(challenges, characters);
    // An item whose operator wants another difficulty gets pictures of its own.
    let Some(pool) = puzzles::pool().await?.filter(|pool| pool.characters == characters) else {
        return Ok(drawn());
    };
    if let Some(ready) = LEFT.with_borrow_mut(Vec::pop) {
        return Ok(ready);
    }
    if ISSUED.replace(ISSUED.get().saturating_add(1)) < DRAWN_FIRST || TAKING.replace(true) {
        return Ok(drawn());
    }
    let turn = Turn;
    let taken = puzzles::take(challenges, pool).await;
    drop(turn);
    match taken {
        Taken::Batch(mut batch) => {
            let ready = batch.pop();
            LEFT.set(batch);
            Ok(ready.unwrap_or_else(drawn))
        }
        Taken::Empty { slot } => {
            let asked = Asked { from: slot, count: SLOTS_ASKED };
            // Nobody may hear it, and then pictures go on being drawn here.
            let _ = SharedRedis.publish(PUZZLES_DOORBELL, &asked.to_string()).await;
            Ok(drawn())
        }
    }
}

/// Ends with the request that is taking a batch, also if its shopper goes away.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        TAKING.set(false);
    }
}
