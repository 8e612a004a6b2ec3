use crate::allowance::{self, Counted};
use crate::ids::{Lane, ReservationId, Tail, UserId};
use crate::keys::{CHALLENGE_WINDOW_MS, LaneKeys};
use crate::reservation::{Pace, ReservationState};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;
use crate::time::Timestamp;

pub(crate) static SCRIPT: Script = script!("reserve", 11, CALLERS, HOLDERS);

/// A reservation that a shopper asks for, not decided yet.
pub struct Wish<'a> {
    pub user: &'a UserId,
    pub quantity: u32,
    /// The tail of the new reservation's id; random.
    pub tail: Tail,
    /// The challenge that the shopper solved; nothing if challenges are off.
    pub challenge: Option<ChallengeUse>,
    /// The address that asks; nothing if callers are not counted.
    pub address: Option<&'a str>,
}

/// A challenge with a valid signature. The reservation spends it, even if the solution is wrong.
pub struct ChallengeUse {
    pub id: String,
    pub expires_at: Timestamp,
    /// Whether the solution is right and in time.
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
    /// The shopper has a reservation that is alive: this one.
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
    /// The shopper has `taken` units already; `limit` is the cap.
    PurchaseLimit {
        limit: u32,
        taken: u32,
    },
    QueueFull,
    /// The shopper, their address or the item has no allowance left now.
    RateLimited {
        retry_after_ms: u64,
    },
    /// The solution is wrong or late, or the challenge was used before. The challenge is spent.
    ChallengeFailed,
}

impl<R: Redis> Engine<R> {
    /// Admits a wish, or says why not. A repeated wish gets the same reservation. The allowances are the shopper's and the
    /// address's.
    pub async fn reserve(&self, lane: &Lane, wish: &Wish<'_>) -> Result<Counted<Reserved>, EngineError> {
        let Counted { outcome, allowances } = self.ask(lane, wish, Purpose::Reserve).await?;
        match outcome {
            Some(outcome) => Ok(Counted { outcome, allowances }),
            None => Err(EngineError::UnexpectedReply { script: SCRIPT.name, reply: "clear".to_owned() }),
        }
    }

    /// The refusal that [`Engine::reserve`] would give to a right solution; nothing if it would admit. Spends no challenge, but
    /// a refusal counts as a try, because the caller learns something. For callers that ask a slow service about a wish
    /// first, and need not ask if the wish has no chance.
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
            Some(address) => (allowance::shopper(wish.user), allowance::address(address)),
            None => Default::default(),
        };
        let expires = wish.challenge.as_ref().map_or(0, |challenge| challenge.expires_at.millis());
        let (id, answered) = match &wish.challenge {
            Some(challenge) => (challenge.id.as_str(), if challenge.answered { "1" } else { "0" }),
            None => ("", "1"),
        };
        let mut reply = self
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
                    &keys.holders(),
                ],
                &[
                    wish.user.as_str(),
                    wish.tail.as_str(),
                    &wish.quantity.to_string(),
                    id,
                    answered,
                    // Keep the set for two windows from its first use. A challenge lives for less than one window, so all
                    // challenges of the set have expired by then, whatever a host's clock says.
                    &(2 * CHALLENGE_WINDOW_MS).to_string(),
                    &shopper,
                    &address,
                    if purpose == Purpose::Rehearse { "1" } else { "0" },
                ],
            )
            .await?;
        let named = |tail: Tail| ReservationId::new(lane.clone(), tail);
        let outcome = match reply.text()?.as_str() {
            "clear" => return reply.counted(None),
            "queued" => {
                let id = named(reply.parsed()?);
                reply.quantity()?;
                Reserved::Queued { id, pace: reply.pace()? }
            }
            "held" => {
                let id = named(reply.parsed()?);
                reply.quantity()?;
                Reserved::Held { id, deadline: reply.moment()? }
            }
            "existing" => Reserved::Existing {
                id: named(reply.parsed()?),
                state: reply.reservation_state()?,
                quantity: reply.quantity()?,
                deadline: reply.moment_if_any()?,
                pace: reply.pace()?,
            },
            "not_found" => Reserved::NotFound,
            "not_started" => Reserved::NotStarted { starts_at: reply.moment()? },
            "ended" => Reserved::Ended,
            "paused" => Reserved::Paused,
            "sold_out" => Reserved::SoldOut { available: reply.count()? },
            "purchase_limit" => {
                Reserved::PurchaseLimit { limit: reply.quantity()?, taken: reply.quantity()? }
            }
            "queue_full" => Reserved::QueueFull,
            "rate_limited" => Reserved::RateLimited { retry_after_ms: reply.count()? },
            "challenge_failed" => Reserved::ChallengeFailed,
            _ => return Err(reply.unexpected()),
        };
        reply.counted(Some(outcome))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Reserve,
    Rehearse,
}
