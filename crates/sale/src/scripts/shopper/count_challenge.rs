use crate::allowance::{self, Counted};
use crate::ids::{Lane, UserId};
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("count_challenge", 3, CALLERS);

/// Whether a shopper may have a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeCount {
    /// They may. Also says how busy the lane is.
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
    /// Counts a challenge that `user` asks for from `address`. The allowances are the shopper's and the address's.
    pub async fn count_challenge(
        &self,
        lane: &Lane,
        user: &UserId,
        address: &str,
    ) -> Result<Counted<ChallengeCount>, EngineError> {
        let keys = LaneKeys::of(lane);
        let [even, odd] = keys.callers();
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &even, &odd],
                &[&allowance::shopper(user), &allowance::address(address)],
            )
            .await?;
        let outcome = match reply.text()?.as_str() {
            "counted" => ChallengeCount::Counted { waiting: reply.count()?, total: reply.int()? },
            "rate_limited" => ChallengeCount::RateLimited { retry_after_ms: reply.count()? },
            "not_found" => ChallengeCount::NotFound,
            _ => return Err(reply.unexpected()),
        };
        reply.counted(outcome)
    }
}
