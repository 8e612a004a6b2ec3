//! `POST /api/items/{id}/reservations` `{challenge, answer, quantity}`, for shoppers: the reserve itself (script
//! `reserve`, one round trip; where a hosted widget or a risk hook is asked by HTTP, two, so that neither is asked about a
//! wish that has no chance).
//!
//! 202 with a place in the queue, 201 `held` in instant mode, 200 with the reservation that the shopper already has.
//! Problems: not-started, ended, paused, sold-out, queue-full, challenge-failed, blocked, rate-limited, purchase-limit,
//! unauthorized, not-found, invalid.

mod outside;
mod risk;
mod turnstile;

use risk::Decision;
use sale::Engine;
use sale::ids::{ItemId, Lane, Tail, UserId};
use sale::item::{LANES, MAX_PER_USER};
use sale::reservation::{Pace, ReservationState};
use sale::scripts::{Reserved, Wish};
use sale::time::Timestamp;
use serde::Deserialize;
use web::caller::allowances;
use web::platform::{random, settings};
use web::shop::challenge::{Challenges, Kind, Verdict};
use web::shop::views::Reservation;
use web::shop::{blocklist, catalogue, mark};
use web::{Method, Problem, Request, Response, SharedRedis, StatusCode, header};

/// When a queue that is full, or a sale that is paused, is worth asking again, in milliseconds.
const RETRY_QUEUE_MS: u64 = 2_000;
const RETRY_PAUSED_MS: u64 = 5_000;

web::service!("reserve", handle);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    request.on("/api/items/:id/reservations", &[Method::POST])?;
    let user = web::caller::session::user(request).await?;
    let item: ItemId = request.id(2)?;
    let body: Body = request.json().await?;
    blocklist::check(request, &user).await?;
    let quantity = body.quantity()?;
    let now = request.now();
    if mark::refuses(&item, &user, now).await {
        return Err(Problem::SoldOut);
    }
    let verdict = verdict(&body, &user, &item, now).await?;
    let lane = Lane::of(item, &user, LANES);
    match decide(request, &body, quantity, verdict, &user, &lane).await? {
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
            // Published and not in the engine: Redis was lost, and the lane is being made anew.
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
                mark::set(&lane, now).await;
            }
            Err(Problem::SoldOut)
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

/// What the answer to the challenge is worth, as far as we can tell; nothing where challenges are off.
async fn verdict(
    body: &Body,
    user: &UserId,
    item: &ItemId,
    now: Timestamp,
) -> Result<Option<Verdict>, Problem> {
    if settings::get::<Kind>("captcha_kind").await? == Kind::Off {
        return Ok(None);
    }
    let required = |field: &'static str| Problem::invalid(field, "is required");
    let token = body.challenge.as_deref().ok_or_else(|| required("challenge"))?;
    let answer = body.answer.as_deref().ok_or_else(|| required("answer"))?;
    Ok(Some(Challenges::shared().await?.verify(token, answer, user, item, now)))
}

/// Runs the script, with what others say of the shopper where others are asked.
async fn decide(
    request: &Request,
    body: &Body,
    quantity: u32,
    verdict: Option<Verdict>,
    user: &UserId,
    lane: &Lane,
) -> Result<Reserved, Problem> {
    let unjudged = match &verdict {
        Some(Verdict::Unjudged { id, .. }) => Some(id.clone()),
        _ => None,
    };
    let is_hopeful = unjudged.is_some() || matches!(verdict, None | Some(Verdict::Good { .. }));
    let address = allowances::caller(request).await?;
    let mut wish = Wish {
        user,
        quantity,
        tail: Tail::random(random::bytes()),
        challenge: verdict.map(Verdict::into_use).transpose()?,
        address: address.as_deref(),
    };
    let engine = Engine::new(SharedRedis);
    let asks_hook = risk::is_set().await?;
    if !is_hopeful || (unjudged.is_none() && !asks_hook) {
        return reserved(request, &engine, lane, &wish).await;
    }
    // Somebody outside is to be asked, which takes time and may cost money.
    match allowances::noted(request, &allowances::TRIES, engine.rehearse(lane, &wish).await?) {
        None => {}
        // The script itself counts a challenge that is used again.
        Some(Reserved::ChallengeFailed) => return reserved(request, &engine, lane, &wish).await,
        Some(decided) => return Ok(decided),
    }
    let mut is_good = true;
    if let (Some(id), Some(token), Some(answer)) = (&unjudged, &body.challenge, &body.answer) {
        is_good = turnstile::is_good(request, token, id, answer).await?;
    }
    let is_refused = is_good
        && asks_hook
        && risk::decide(request, user, &lane.item, wish.quantity).await? == Decision::Refuse;
    if let Some(challenge) = &mut wish.challenge {
        // Who is refused has used the challenge up, and a try: else one answer would be worth any number of questions.
        challenge.answered = is_good && !is_refused;
    }
    if is_refused {
        if wish.challenge.is_some() {
            reserved(request, &engine, lane, &wish).await?;
        }
        return Err(Problem::Blocked);
    }
    reserved(request, &engine, lane, &wish).await
}

async fn reserved(
    request: &Request,
    engine: &Engine<SharedRedis>,
    lane: &Lane,
    wish: &Wish<'_>,
) -> Result<Reserved, Problem> {
    Ok(allowances::noted(request, &allowances::TRIES, engine.reserve(lane, wish).await?))
}

fn located(status: StatusCode, reservation: &Reservation) -> Response {
    let location = format!("/api/reservations/{}", reservation.id);
    Response::json(status, reservation).header(header::LOCATION, &location)
}
