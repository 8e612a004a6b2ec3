use crate::allowance::{self, Counted, MINUTE_SECONDS};
use crate::keys::{OPERATOR_FAILURES, SESSIONS};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("spend_allowance", 2, CALLERS);

/// Whether the caller's bucket had a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    Done,
    RateLimited { retry_after_ms: u64 },
}

impl<R: Redis> Engine<R> {
    /// Counts a session that `address` opens; it may open `most` in a minute.
    pub async fn count_session(&self, address: &str, most: u32) -> Result<Counted<Spent>, EngineError> {
        self.spend(SESSIONS, address, most).await
    }

    /// Counts a wrong operator's token from `address`, which may send `most` in a minute.
    pub async fn count_operator_failure(
        &self,
        address: &str,
        most: u32,
    ) -> Result<Counted<Spent>, EngineError> {
        self.spend(OPERATOR_FAILURES, address, most).await
    }

    async fn spend(&self, keys: [&str; 2], address: &str, most: u32) -> Result<Counted<Spent>, EngineError> {
        let (bucket, most) = (allowance::address(address), most.to_string());
        let period = (MINUTE_SECONDS * 1000).to_string();
        let mut reply = self.run(&SCRIPT, "", &keys, &[&bucket, &most, &period]).await?;
        let outcome = match reply.text()?.as_str() {
            "spent" => Spent::Done,
            "rate_limited" => Spent::RateLimited { retry_after_ms: reply.count()? },
            _ => return Err(reply.unexpected()),
        };
        reply.counted(outcome)
    }
}
