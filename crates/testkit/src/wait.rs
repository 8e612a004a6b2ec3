//! Waiting for something that happens by itself: with a deadline, and without a guess how long it takes.

use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls `look` again and again until it returns a value. Panics with `awaited` once `patience` is over.
pub async fn eventually<T>(awaited: &str, patience: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {awaited}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`eventually`] for tests without a runtime: it blocks its thread.
pub fn eventually_blocking<T>(awaited: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {awaited}");
        std::thread::sleep(PAUSE);
    }
}
