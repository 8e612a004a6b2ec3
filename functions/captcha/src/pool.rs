//! Gets a challenge's picture: drawn now, or in a crowd taken from the pool of pictures drawn ahead.

use std::cell::{Cell, RefCell};

use sale::keys::PUZZLES_DOORBELL;
use web::shop::challenge::Challenges;
use web::shop::puzzles::{self, Asked, Ready, Taken};
use web::{Problem, SharedRedis};

/// Pictures that an instance draws before it takes a batch. In a crowd an instance lives for about a hundred requests. An
/// instance that serves two requests and ends would waste most of a batch.
const DRAWN_FIRST: u32 = 2;
/// How many slots `puzzles` is asked to fill when one was found empty.
const SLOTS_ASKED: usize = 4;

thread_local! {
    /// The unused pictures of the batch that this instance took.
    static LEFT: RefCell<Vec<Ready>> = const { RefCell::new(Vec::new()) };
    static ISSUED: Cell<u32> = const { Cell::new(0) };
    /// Whether a request of this instance is taking a batch; other requests draw meanwhile.
    static TAKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns a picture that no shopper has seen.
pub async fn next(challenges: &Challenges, characters: u8) -> Result<Ready, Problem> {
    let drawn = || Ready::draw(challenges, characters);
    // The pool has pictures of one difficulty. For an item with another one they are drawn here.
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
            // If nobody hears it, pictures continue to be drawn here.
            let _ = SharedRedis.publish(PUZZLES_DOORBELL, &asked.to_string()).await;
            Ok(drawn())
        }
    }
}

/// Its drop ends the taking of a batch, also when the shopper goes away and the request is cancelled.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        TAKING.set(false);
    }
}
