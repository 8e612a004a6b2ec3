//! Waiting for what happens by itself, with a deadline and without a guess how long it takes.

use std::time::{Duration, Instant};

/// Asks `look` again and again until it has an answer; panics, naming what was awaited, once `patience` is over.
pub async fn eventually<T>(awaited: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {awaited}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
