use super::{CALLERS, Engine, EngineError, Script, script};
use crate::keys::{OPERATOR_FAILURES, SESSIONS};
use crate::limits::{self, Counted, MINUTE_SECONDS};
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("take", 2, CALLERS);

/// Whether a caller's bucket had a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Done,
    RateLimited { retry_after_ms: u64 },
}

impl<R: Redis> Engine<R> {
    /// Counts a session that `address` opens, of `most` in a minute.
    pub async fn count_session(&self, address: &str, most: u32) -> Result<Counted<Taken>, EngineError> {
        self.take(SESSIONS, address, most).await
    }

    /// Counts a wrong operator's token from `address`, of `most` in a minute.
    pub async fn count_operator_failure(
        &self,
        address: &str,
        most: u32,
    ) -> Result<Counted<Taken>, EngineError> {
        self.take(OPERATOR_FAILURES, address, most).await
    }

    async fn take(&self, keys: [&str; 2], address: &str, most: u32) -> Result<Counted<Taken>, EngineError> {
        let (bucket, most) = (limits::address(address), most.to_string());
        let period = (MINUTE_SECONDS * 1000).to_string();
        let mut answer = self.run(&SCRIPT, "", &keys, &[&bucket, &most, &period]).await?;
        let outcome = match answer.text()?.as_str() {
            "taken" => Taken::Done,
            "rate_limited" => Taken::RateLimited { retry_after_ms: answer.count()? },
            _ => return Err(answer.unexpected()),
        };
        answer.counted(outcome)
    }
}
