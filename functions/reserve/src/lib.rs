//! `POST /api/items/{id}/reservations` `{challenge, answer, quantity}`, for shoppers: a reservation.
//!
//! Runs the script `reserve` in one round trip. Where a hosted widget or a risk hook must be asked by HTTP, the script
//! rehearses first, in a second round trip. So nobody outside is asked about a wish that has no chance.
//!
//! 202 with a place in the queue, 201 `held` in instant mode, 200 with the reservation that the shopper already has.
//! Problems: not-started, ended, paused, sold-out, queue-full, challenge-failed, blocked, rate-limited, purchase-limit,
//! unauthorized, not-found, invalid, unavailable.

mod outside;
mod risk;
mod turnstile;

use risk::Decision;
use sale::Engine;
use sale::ids::{ItemId, Lane, Tail, UserId};
use sale::item::{LANES, MAX_PER_USER};
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{ChallengeUse, Reserved, Wish};
use sale::time::Timestamp;
use serde::Deserialize;
use web::caller::allowances;
use web::platform::{random, settings};
use web::shop::challenge::{Challenges, Kind, Verdict};
use web::shop::views::Reservation;
use web::shop::{blocklist, catalogue, mark};
use web::{Method, Problem, Request, Response, SharedRedis, StatusCode, header};

/// After how many milliseconds a shopper may ask again when the queue is full, or the sale paused.
const RETRY_QUEUE_MS: u64 = 2_000;
const RETRY_PAUSED_MS: u64 = 5_000;

web::service!("reserve", handle, settings: COMMON, IDENTITY, [
    RATE_LIMITS,
    CAPTCHA_KIND,
    TURNSTILE_SECRET,
    TURNSTILE_URL,
    TURNSTILE_TIMEOUT_MS,
    TURNSTILE_HOSTNAME,
    RISK_URL,
    RISK_TOKEN,
    RISK_TIMEOUT_MS,
    RISK_ON_FAILURE,
]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    request.on("/api/items/:id/reservations", &[Method::POST])?;
    let user = web::caller::session::user(request).await?;
    let item: ItemId = request.id(2)?;
    let body: Body = request.json().await?;
    blocklist::check(request, &user).await?;
    let quantity = body.quantity()?;
    let now = request.now();
    let lane = Lane::of(item, &user, LANES);
    if mark::refuses(&lane, &user, now).await {
        return Err(Problem::SoldOut { available: 0 });
    }
    let evidence = Evidence::of(&body, &user, &lane.item, now).await?;
    let attempt = Attempt {
        request,
        user: &user,
        lane: &lane,
        quantity,
        tail: Tail::random(random::bytes()),
        address: allowances::caller(request).await?,
    };
    match decide(&attempt, evidence).await? {
        Reserved::Queued { id, pace } => {
            let reservation = Reservation::new(&id, ReservationState::Queued, quantity, None, pace);
            Ok(located(StatusCode::ACCEPTED, &reservation))
        }
        Reserved::Held { id, deadline } => {
            let reservation =
                Reservation::new(&id, ReservationState::Held, quantity, Some(deadline), Pace::default());
            Ok(located(StatusCode::CREATED, &reservation))
        }
        Reserved::Existing { id, state, quantity, deadline, pace } => {
            Ok(located(StatusCode::OK, &Reservation::new(&id, state, quantity, deadline, pace)))
        }
        Reserved::NotFound => match catalogue::item(&lane.item).await {
            // Published and not in Redis: Redis was lost, and the lane is being rebuilt.
            Ok(_) => Err(Problem::Paused { retry_after_ms: RETRY_PAUSED_MS }),
            Err(problem) => Err(problem),
        },
        Reserved::NotStarted { starts_at } => {
            let retry_after_ms = u64::try_from(starts_at.since(now)).unwrap_or(0);
            Err(Problem::NotStarted { starts_at, retry_after_ms })
        }
        Reserved::Ended => Err(Problem::Ended),
        Reserved::Paused => Err(Problem::Paused { retry_after_ms: RETRY_PAUSED_MS }),
        Reserved::SoldOut { available } => {
            if available == 0 {
                mark::set(&lane, &user, now).await;
            }
            Err(Problem::SoldOut { available })
        }
        Reserved::PurchaseLimit { limit, .. } => Err(Problem::PurchaseLimit { limit }),
        Reserved::QueueFull => Err(Problem::QueueFull { retry_after_ms: RETRY_QUEUE_MS }),
        Reserved::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
        Reserved::ChallengeFailed => Err(Problem::ChallengeFailed {
            detail: "The answer is wrong or late, or the challenge was used before; ask for a new one",
        }),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    challenge: Option<String>,
    #[serde(default)]
    answer: Option<String>,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

impl Body {
    fn quantity(&self) -> Result<u32, Problem> {
        if (1..=MAX_PER_USER).contains(&self.quantity) {
            Ok(self.quantity)
        } else {
            Err(Problem::invalid("quantity", format!("must be a whole number from 1 to {MAX_PER_USER}")))
        }
    }
}

/// What speaks for the shopper.
enum Evidence<'a> {
    /// Challenges are off.
    None,
    /// We judged the solution ourselves: it is right, or it is wrong or late.
    Judged(ChallengeUse),
    /// The shopper solved the hosted widget; only its service can judge the solution.
    Widget { id: String, expires_at: Timestamp, token: &'a str, solution: &'a str },
}

impl<'a> Evidence<'a> {
    async fn of(body: &'a Body, user: &UserId, item: &ItemId, now: Timestamp) -> Result<Self, Problem> {
        if settings::get::<Kind>(settings::CAPTCHA_KIND).await? == Kind::Off {
            return Ok(Self::None);
        }
        let required = |field: &'static str| Problem::invalid(field, "is required");
        let token = body.challenge.as_deref().ok_or_else(|| required("challenge"))?;
        let solution = body.answer.as_deref().ok_or_else(|| required("answer"))?;
        Ok(match Challenges::shared().await?.verify(token, solution, user, item, now) {
            Verdict::Unjudged { id, expires_at } => Self::Widget { id, expires_at, token, solution },
            verdict => Self::Judged(verdict.into_use()?),
        })
    }

    /// Whether somebody outside must be asked before the script decides. Nobody is asked about a wrong solution.
    fn asks_outside(&self, has_hook: bool) -> bool {
        match self {
            Self::None => has_hook,
            Self::Judged(challenge) => challenge.answered && has_hook,
            Self::Widget { .. } => true,
        }
    }

    /// The challenge as the script sees it. An unjudged solution is not right until the widget's service says so.
    fn unasked(&self) -> Option<ChallengeUse> {
        match self {
            Self::None => None,
            Self::Judged(challenge) => Some(used(&challenge.id, challenge.expires_at, challenge.answered)),
            Self::Widget { id, expires_at, .. } => Some(used(id, *expires_at, false)),
        }
    }

    /// The same, after the widget's service has judged.
    async fn judged(self, request: &Request) -> Result<Option<ChallengeUse>, Problem> {
        Ok(match self {
            Self::None => None,
            Self::Judged(challenge) => Some(challenge),
            Self::Widget { id, expires_at, token, solution } => {
                let answered = turnstile::is_good(request, token, &id, solution).await?;
                Some(used(&id, expires_at, answered))
            }
        })
    }
}

fn used(id: &str, expires_at: Timestamp, answered: bool) -> ChallengeUse {
    ChallengeUse { id: id.to_owned(), expires_at, answered }
}

/// Lets the script decide; asks the widget's service and the risk hook before, where that is needed.
async fn decide(attempt: &Attempt<'_>, evidence: Evidence<'_>) -> Result<Reserved, Problem> {
    let has_hook = risk::is_set().await?;
    if !evidence.asks_outside(has_hook) {
        return attempt.reserve(evidence.unasked()).await;
    }
    // Asking outside takes time and may cost money. So the script says first whether the wish has a chance.
    match attempt.rehearse(evidence.unasked()).await? {
        None => {}
        // A rehearsal counts nothing. The reservation refuses a used challenge too, and counts the try.
        Some(Reserved::ChallengeFailed) => return attempt.reserve(evidence.unasked()).await,
        Some(decided) => return Ok(decided),
    }
    let challenge = evidence.judged(attempt.request).await?;
    let is_solved = challenge.as_ref().is_none_or(|challenge| challenge.answered);
    if is_solved && has_hook && attempt.ask_hook().await? == Decision::Refuse {
        // A refusal spends the challenge and one try. Otherwise one solved challenge could probe the risk hook without end.
        if let Some(challenge) = challenge {
            attempt.reserve(Some(ChallengeUse { answered: false, ..challenge })).await?;
        }
        return Err(Problem::Blocked);
    }
    attempt.reserve(challenge).await
}

/// A shopper's wish, on its way to the script.
struct Attempt<'a> {
    request: &'a Request,
    user: &'a UserId,
    lane: &'a Lane,
    quantity: u32,
    /// The new reservation's own part of its id.
    tail: Tail,
    /// Where the request comes from; nothing where callers have no allowances.
    address: Option<String>,
}

impl Attempt<'_> {
    /// Runs the script.
    async fn reserve(&self, challenge: Option<ChallengeUse>) -> Result<Reserved, Problem> {
        let counted = Engine::new(SharedRedis).reserve(self.lane, &self.wish(challenge)).await?;
        Ok(allowances::noted(self.request, &allowances::TRIES, counted))
    }

    /// Asks the script what it would decide; nothing where the wish has a chance.
    async fn rehearse(&self, challenge: Option<ChallengeUse>) -> Result<Option<Reserved>, Problem> {
        let counted = Engine::new(SharedRedis).rehearse(self.lane, &self.wish(challenge)).await?;
        Ok(allowances::noted(self.request, &allowances::TRIES, counted))
    }

    async fn ask_hook(&self) -> Result<Decision, Problem> {
        risk::decide(self.request, self.user, &self.lane.item, self.quantity).await
    }

    fn wish(&self, challenge: Option<ChallengeUse>) -> Wish<'_> {
        Wish {
            user: self.user,
            quantity: self.quantity,
            tail: self.tail.clone(),
            challenge,
            address: self.address.as_deref(),
        }
    }
}

fn located(status: StatusCode, reservation: &Reservation) -> Response {
    let location = format!("/api/reservations/{}", reservation.id);
    Response::json(status, reservation).header(header::LOCATION, &location)
}
