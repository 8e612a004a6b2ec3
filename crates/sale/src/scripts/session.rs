use super::{Engine, EngineError, Script, script};
use crate::keys::sessions_window;
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("session", 1);

/// Whether an address may open one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionCount {
    Admitted,
    RateLimited { retry_after_ms: u64 },
}

impl<R: Redis> Engine<R> {
    /// Counts a session that `address` opens, of `most` in a minute. `now` is the caller's clock; it names the minute.
    pub async fn count_session(
        &self,
        address: &str,
        most: u32,
        now: Timestamp,
    ) -> Result<SessionCount, EngineError> {
        let mut answer =
            self.run(&SCRIPT, "", &[&sessions_window(now.millis())], &[address, &most.to_string()]).await?;
        Ok(match answer.text()?.as_str() {
            "admitted" => SessionCount::Admitted,
            "rate_limited" => SessionCount::RateLimited { retry_after_ms: answer.count()? },
            _ => return Err(answer.unexpected()),
        })
    }
}
