//! Many shoppers at once, and trouble meanwhile.

use std::pin::pin;

use futures_util::{StreamExt, stream};

/// Runs `act` for 0, 1, … `count - 1`, at most `at_once` of them at a time. Returns all outcomes in order.
pub async fn crowd<T, F: Future<Output = T>>(
    count: usize,
    at_once: usize,
    act: impl FnMut(usize) -> F,
) -> Vec<T> {
    stream::iter(0..count).map(act).buffered(at_once).collect().await
}

/// Makes trouble again and again, at most `most` times, for as long as `work` lasts. Returns the outcome of the work,
/// and how often there was trouble.
pub async fn meanwhile<T>(
    work: impl Future<Output = T>,
    most: usize,
    mut trouble: impl AsyncFnMut(),
) -> (T, usize) {
    let mut work = pin!(work);
    for times in 0..most {
        let mut trouble = pin!(trouble());
        tokio::select! {
            outcome = &mut work => {
                // Let trouble that has begun finish: a server that it killed must come back.
                trouble.await;
                return (outcome, times + 1);
            }
            () = &mut trouble => {}
        }
    }
    (work.await, most)
}
