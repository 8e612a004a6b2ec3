//! Asks somebody else's service during a reservation, with a timeout. A service that is down is left alone for a while.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use web::header::{self, HeaderName};
use web::platform::deadline::within;
use web::platform::outbound;

/// After this many failures in a row a service is left alone for [`REST`].
const FAILURES: u32 = 3;
const REST: Duration = Duration::from_secs(1);

/// How a service did recently, as this instance saw it.
#[derive(Default)]
pub struct Fuse {
    failures: Cell<u32>,
    blown: Cell<Option<Instant>>,
}

impl Fuse {
    /// Whether the service may be asked at `now`. After a rest, one failure is enough for another rest.
    fn holds(&self, now: Instant) -> bool {
        self.blown.get().is_none_or(|blown| now.duration_since(blown) >= REST)
    }

    fn note(&self, went_well: bool, now: Instant) {
        if went_well {
            self.failures.set(0);
            self.blown.set(None);
        } else {
            self.failures.set(self.failures.get().saturating_add(1));
            if self.failures.get() >= FAILURES {
                self.blown.set(Some(now));
            }
        }
    }
}

/// Why the service gave no usable response, for the log. Repeats nothing of the question, and only the response's status.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    /// It failed too often recently, and was not asked.
    Resting,
    Failed(String),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resting => f.write_str("it failed too often of late and is left alone for a second"),
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

/// Posts `question` as JSON to `url` and reads the response, all within `timeout`.
pub async fn ask<A: DeserializeOwned>(
    fuse: &Fuse,
    url: &str,
    headers: &[(HeaderName, &str)],
    question: &impl Serialize,
    timeout: Duration,
) -> Result<A, Silence> {
    if !fuse.holds(Instant::now()) {
        return Err(Silence::Resting);
    }
    let answer = post(url, headers, question, timeout).await;
    fuse.note(answer.is_ok(), Instant::now());
    answer.map_err(Silence::Failed)
}

async fn post<A: DeserializeOwned>(
    url: &str,
    headers: &[(HeaderName, &str)],
    question: &impl Serialize,
    timeout: Duration,
) -> Result<A, String> {
    let body = serde_json::to_vec(question).map_err(|error| error.to_string())?;
    let mut all = vec![(header::CONTENT_TYPE, "application/json"), (header::ACCEPT, "application/json")];
    all.extend_from_slice(headers);
    let answer = within(timeout, outbound::post(url, &all, body, timeout)).await;
    let answer = answer.ok_or_else(|| format!("no answer within {} ms", timeout.as_millis()))?;
    let answer = answer.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("it answered {}", answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| "its answer is not what it should be".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_fails_again_and_again_is_left_alone_for_a_while() {
        let (fuse, start) = (Fuse::default(), Instant::now());
        for _ in 0..FAILURES - 1 {
            fuse.note(false, start);
        }
        assert!(fuse.holds(start));
        fuse.note(true, start);
        for _ in 0..FAILURES {
            assert!(fuse.holds(start));
            fuse.note(false, start);
        }
        assert!(!fuse.holds(start) && !fuse.holds(start + REST / 2));
        assert!(fuse.holds(start + REST));
        // Still down: the first failure after the rest is enough.
        fuse.note(false, start + REST);
        assert!(!fuse.holds(start + REST + REST / 2));
        fuse.note(true, start + 2 * REST);
        assert!(fuse.holds(start + 2 * REST));
    }
}
