use super::{CALLERS, Engine, EngineError, Script, script};
use crate::ids::{Lane, ReservationId, Tail, UserId};
use crate::keys::{CHALLENGE_WINDOW_MS, LaneKeys};
use crate::limits::{self, Counted};
use crate::reservation::{Pace, ReservationState};
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("reserve", 10, CALLERS);

/// What a shopper asks for.
pub struct Wish<'a> {
    pub user: &'a UserId,
    pub quantity: u32,
    /// The new reservation's own part of its id; random.
    pub tail: Tail,
    /// The answered challenge, or nothing where challenges are off.
    pub challenge: Option<ChallengeUse>,
    /// Where the wish comes from; nothing where callers are not limited.
    pub address: Option<&'a str>,
}

/// A challenge with a good signature, about to be used up, right or wrong.
pub struct ChallengeUse {
    pub id: String,
    pub expires_at: Timestamp,
    /// Whether the answer is right and in time.
    pub answered: bool,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Admitted to the queue, at `position` from 1.
    Queued {
        id: ReservationId,
        pace: Pace,
    },
    /// Decided on the spot (instant mode): the shopper's until `deadline`.
    Held {
        id: ReservationId,
        deadline: Timestamp,
    },
    /// The shopper has a reservation that is still alive, which is the answer.
    Existing {
        id: ReservationId,
        state: ReservationState,
        quantity: u32,
        deadline: Option<Timestamp>,
        pace: Pace,
    },
    NotFound,
    NotStarted {
        starts_at: Timestamp,
    },
    Ended,
    Paused,
    /// Fewer units are free than asked for.
    SoldOut {
        available: u64,
    },
    /// The shopper has `taken` of `limit` units.
    PurchaseLimit {
        limit: u32,
        taken: u32,
    },
    QueueFull,
    /// The shopper, their address or the item has had too many. The challenge stays good.
    RateLimited {
        retry_after_ms: u64,
    },
    /// Wrong answer, late, or used before. The challenge is spent.
    ChallengeFailed,
}

impl<R: Redis> Engine<R> {
    /// Admits a shopper, or says why not. Asking again gives the same reservation. Allowances are the shopper's and the
    /// address's.
    pub async fn reserve(&self, lane: &Lane, wish: &Wish<'_>) -> Result<Counted<Reserved>, EngineError> {
        let Counted { outcome, allowances } = self.ask(lane, wish, Purpose::Reserve).await?;
        match outcome {
            Some(outcome) => Ok(Counted { outcome, allowances }),
            None => Err(EngineError::UnexpectedReply { script: SCRIPT.name, reply: "clear".to_owned() }),
        }
    }

    /// What [`Engine::reserve`] would say to a right answer, where that is no admission; nothing where it would admit.
    /// No challenge is used up; a refusal is counted as a try all the same, since it is an answer. For those who want to
    /// ask somebody slow first, but not for a wish that has no chance.
    pub async fn rehearse(
        &self,
        lane: &Lane,
        wish: &Wish<'_>,
    ) -> Result<Counted<Option<Reserved>>, EngineError> {
        self.ask(lane, wish, Purpose::Rehearse).await
    }

    async fn ask(
        &self,
        lane: &Lane,
        wish: &Wish<'_>,
        purpose: Purpose,
    ) -> Result<Counted<Option<Reserved>>, EngineError> {
        let keys = LaneKeys::of(lane);
        let [even, odd] = keys.callers();
        let (shopper, address) = match wish.address {
            Some(address) => (limits::shopper(wish.user), limits::address(address)),
            None => Default::default(),
        };
        let expires = wish.challenge.as_ref().map_or(0, |challenge| challenge.expires_at.millis());
        let (id, answered) = match &wish.challenge {
            Some(challenge) => (challenge.id.as_str(), if challenge.answered { "1" } else { "0" }),
            None => ("", "1"),
        };
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.queue(),
                    &keys.challenges(expires),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.series(),
                    &even,
                    &odd,
                ],
                &[
                    wish.user.as_str(),
                    wish.tail.as_str(),
                    &wish.quantity.to_string(),
                    id,
                    answered,
                    // From the first use in a window to the last moment of the window is less than two of them,
                    // as a challenge lives for less than one. So no host's clock has a say in this.
                    &(2 * CHALLENGE_WINDOW_MS).to_string(),
                    &shopper,
                    &address,
                    if purpose == Purpose::Rehearse { "1" } else { "0" },
                ],
            )
            .await?;
        let named = |tail: Tail| ReservationId::new(lane.clone(), tail);
        let outcome = match answer.text()?.as_str() {
            "clear" => return answer.counted(None),
            "queued" => {
                let id = named(answer.parsed()?);
                answer.quantity()?;
                Reserved::Queued { id, pace: answer.pace()? }
            }
            "held" => {
                let id = named(answer.parsed()?);
                answer.quantity()?;
                Reserved::Held { id, deadline: answer.moment()? }
            }
            "existing" => Reserved::Existing {
                id: named(answer.parsed()?),
                state: answer.reservation_state()?,
                quantity: answer.quantity()?,
                deadline: answer.moment_if_any()?,
                pace: answer.pace()?,
            },
            "not_found" => Reserved::NotFound,
            "not_started" => Reserved::NotStarted { starts_at: answer.moment()? },
            "ended" => Reserved::Ended,
            "paused" => Reserved::Paused,
            "sold_out" => Reserved::SoldOut { available: answer.count()? },
            "purchase_limit" => {
                Reserved::PurchaseLimit { limit: answer.quantity()?, taken: answer.quantity()? }
            }
            "queue_full" => Reserved::QueueFull,
            "rate_limited" => Reserved::RateLimited { retry_after_ms: answer.count()? },
            "challenge_failed" => Reserved::ChallengeFailed,
            _ => return Err(answer.unexpected()),
        };
        answer.counted(Some(outcome))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reserve,
    Rehearse,
}
