use super::{Engine, EngineError, Script, script};
use crate::ids::{Lane, ReservationId, Tail, UserId};
use crate::keys::{CHALLENGE_WINDOW_MS, LaneKeys};
use crate::reservation::ReservationState;
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("reserve", 9);

/// What a shopper asks for.
pub struct Wish<'a> {
    pub user: &'a UserId,
    pub quantity: u32,
    /// The new reservation's own part of its id; random.
    pub tail: Tail,
    /// The answered challenge, or nothing where challenges are off.
    pub challenge: Option<ChallengeUse>,
    /// Failed tries that a shopper has in ten seconds; 0 for any number.
    pub tries_allowed: u32,
    /// The caller's clock; it only names the window that failed tries are counted in.
    pub now: Timestamp,
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
        position: u64,
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
        position: u64,
        deadline: Option<Timestamp>,
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
    RateLimited {
        retry_after_ms: u64,
    },
    /// Wrong answer, late, or used before. The challenge is spent.
    ChallengeFailed,
}

impl<R: Redis> Engine<R> {
    /// Admits a shopper, or says why not. Asking again gives the same reservation.
    pub async fn reserve(&self, lane: &Lane, wish: &Wish<'_>) -> Result<Reserved, EngineError> {
        match self.ask(lane, wish, Purpose::Reserve).await? {
            Asked::Decided(reserved) => Ok(reserved),
            Asked::Clear => {
                Err(EngineError::UnexpectedReply { script: SCRIPT.name, reply: "clear".to_owned() })
            }
        }
    }

    /// What [`Engine::reserve`] would say to a right answer, where that is no admission; nothing where it would admit.
    /// Nothing is used up. For those who want to ask somebody slow first, but not for a wish that has no chance.
    pub async fn rehearse(&self, lane: &Lane, wish: &Wish<'_>) -> Result<Option<Reserved>, EngineError> {
        Ok(match self.ask(lane, wish, Purpose::Rehearse).await? {
            Asked::Decided(reserved) => Some(reserved),
            Asked::Clear => None,
        })
    }

    async fn ask(&self, lane: &Lane, wish: &Wish<'_>, purpose: Purpose) -> Result<Asked, EngineError> {
        let keys = LaneKeys::of(lane);
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
                    &keys.tries(wish.now.millis()),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.series(),
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
                    &wish.tries_allowed.to_string(),
                    if purpose == Purpose::Rehearse { "1" } else { "0" },
                ],
            )
            .await?;
        let named = |tail: Tail| ReservationId::new(lane.clone(), tail);
        Ok(Asked::Decided(match answer.text()?.as_str() {
            "clear" => return Ok(Asked::Clear),
            "queued" => {
                let id = named(answer.parsed()?);
                answer.quantity()?;
                Reserved::Queued { id, position: answer.count()? }
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
                position: answer.count()?,
                deadline: answer.moment_if_any()?,
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
        }))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reserve,
    Rehearse,
}

enum Asked {
    Decided(Reserved),
    /// A rehearsal that went well.
    Clear,
}
