use super::{CALLERS, Engine, EngineError, Script, script};
use crate::ids::{Lane, UserId};
use crate::keys::LaneKeys;
use crate::limits::{self, Counted};
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("count_challenge", 3, CALLERS);

/// Whether a shopper may have a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeCount {
    /// They may; and how busy the lane is.
    Counted {
        /// Reservations that wait to be decided.
        waiting: u64,
        /// Units in all.
        total: i64,
    },
    RateLimited {
        retry_after_ms: u64,
    },
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Counts a challenge that `user` asks for from `address`; allowances are the shopper's and the address's.
    pub async fn count_challenge(
        &self,
        lane: &Lane,
        user: &UserId,
        address: &str,
    ) -> Result<Counted<ChallengeCount>, EngineError> {
        let keys = LaneKeys::of(lane);
        let [even, odd] = keys.callers();
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &even, &odd],
                &[&limits::shopper(user), &limits::address(address)],
            )
            .await?;
        let outcome = match answer.text()?.as_str() {
            "counted" => ChallengeCount::Counted { waiting: answer.count()?, total: answer.int()? },
            "rate_limited" => ChallengeCount::RateLimited { retry_after_ms: answer.count()? },
            "not_found" => ChallengeCount::NotFound,
            _ => return Err(answer.unexpected()),
        };
        answer.counted(outcome)
    }
}
