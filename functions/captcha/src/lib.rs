//! Challenges, while an item is open.
//!
//! Route `POST /api/items/{id}/challenges`, for shoppers. The body is empty, or names the kind of challenge that the
//! shopper prefers: where pictures are asked for, whoever can't see one may take `{"kind": "pow"}`, which is harder than
//! a proof of work elsewhere. The item's snapshot decides; the script `count_challenge` counts, where callers are limited. Problems: `unauthorized`, `not-found`,
//! `blocked`, `not-started`, `ended`, `sold-out`, `paused`, `invalid`, `unavailable`.

mod pool;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sale::ids::{ItemId, Lane, UserId};
use sale::item::{ItemState, LANES};
use sale::scripts::ChallengeCount;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::catalogue::Snapshot;
use web::challenge::{self, Challenges, Kind, LIFETIME_MS, Record, Task, WIDGET_ACTION};
use web::puzzles::Ready;
use web::{
    Method, Problem, Response, SharedRedis, blocklist, catalogue, limits, mark, rules, session, settings,
};

/// After how long a paused sale is worth another look, in milliseconds.
const PAUSE_MS: u64 = 5_000;
/// A proof of work instead of a picture costs four times as much as where it is the rule.
const ALTERNATIVE_BITS: u8 = Kind::Pow.usual_difficulty() + 2;

web::service!("captcha", answer);

async fn answer(request: &mut web::Request) -> Result<Response, Problem> {
    let not_found = Problem::NotFound { what: "item" };
    let item = match request.segments()[..] {
        ["api", "items", id, "challenges"] => {
            request.on("/api/items/:id/challenges", &[Method::POST])?;
            id.parse::<ItemId>()
        }
        _ => return Err(Problem::NotFound { what: "route" }),
    };
    let user = session::user(request).await?;
    let item = item.map_err(|_| not_found)?;
    let wish = Wish::of(request).await?;
    blocklist::check(request, &user).await?;
    let snapshot = catalogue::item(&item).await?;
    let server_time = snapshot.server_time(request.now());
    match snapshot.state(request.now()) {
        ItemState::Open => {}
        ItemState::Upcoming => {
            let starts_at = snapshot.starts_at();
            let retry_after_ms = u64::try_from(starts_at.since(server_time)).unwrap_or(0);
            return Err(Problem::NotStarted { starts_at, retry_after_ms });
        }
        ItemState::Paused => return Err(Problem::Paused { retry_after_ms: PAUSE_MS }),
        ItemState::SoldOut if has_reservation(&user, &item, request.now()).await? => {}
        ItemState::SoldOut => return Err(Problem::SoldOut),
        ItemState::Ended => return Err(Problem::Ended),
        ItemState::Draft => return Err(Problem::NotFound { what: "item" }),
    }
    let record = count(request, &user, &item).await?;
    let (kind, difficulty) = chosen(wish, &snapshot, record).await?;
    // What is shown goes by the sale's clock; the token itself by this machine's, which also checks it.
    let expires_at = server_time.plus_millis(LIFETIME_MS);
    Ok(Response::created(&issue(kind, difficulty, &user, &item, request.now(), expires_at).await?))
}

/// Counts this challenge against what shopper and address may try: the one round trip of a challenge. Gives what the
/// address has left, where callers are limited: its record, since a try that fails costs three of those that don't.
async fn count(request: &web::Request, user: &UserId, item: &ItemId) -> Result<Option<Record>, Problem> {
    let Some(address) = limits::caller(request).await? else { return Ok(None) };
    let lane = Lane::of(item.clone(), user, LANES);
    let counted = sale::Engine::new(SharedRedis).count_challenge(&lane, user, &address).await?;
    let record = counted.allowances.get(1).map(|of| Record { limit: of.capacity, left: of.left() });
    match limits::noted(request, &limits::TRIES, counted) {
        ChallengeCount::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
        // What is no longer published is said by the reservation.
        ChallengeCount::Counted { .. } | ChallengeCount::NotFound => Ok(record),
    }
}

/// Whether the shopper has a reservation of a sold-out item. Whoever lost the answer to their request, and the page with
/// it, must be able to ask again: that shows them what they have.
async fn has_reservation(user: &UserId, item: &ItemId, now: Timestamp) -> Result<bool, Problem> {
    if mark::refuses(item, user, now).await {
        return Ok(false);
    }
    let lane = Lane::of(item.clone(), user, LANES);
    let alive = sale::Engine::new(SharedRedis).alive(&lane, user).await?;
    if alive.is_none() {
        // The next of a crowd need not ask Redis.
        mark::set(&lane, now).await;
    }
    Ok(alive.is_some())
}

/// What the shopper would rather solve.
#[derive(Deserialize, Default)]
struct Wish {
    kind: Option<Preference>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Preference {
    Image,
    Pow,
}

impl Wish {
    async fn of(request: &mut web::Request) -> Result<Self, Problem> {
        request.json_if_any().await.map(Option::unwrap_or_default)
    }
}

/// The kind that is set, and how hard it is; or the proof of work that stands in for a picture.
///
/// A proof of work is harder the more shoppers wait for each unit, and the more the address has tried of late: who has a
/// farm pays most when it would hurt most.
async fn chosen(wish: Wish, snapshot: &Snapshot, record: Option<Record>) -> Result<(Kind, u8), Problem> {
    let hardened = |bits| challenge::hardened(bits, crowding(snapshot), record);
    let (kind, difficulty) = rules::challenge(&snapshot.rules).await?;
    match (kind, wish.kind) {
        (Kind::Image, Some(Preference::Pow)) => {
            return Ok((Kind::Pow, hardened(ALTERNATIVE_BITS)));
        }
        (Kind::Pow, Some(Preference::Image)) | (Kind::Turnstile, Some(_)) => {
            return Err(Problem::invalid("kind", "is not offered here; leave it out"));
        }
        _ => {}
    }
    if kind != Kind::Pow {
        return Ok((kind, difficulty));
    }
    Ok((kind, hardened(difficulty)))
}

/// How many shoppers wait for each unit of the item.
fn crowding(snapshot: &Snapshot) -> u64 {
    snapshot
        .standing
        .as_ref()
        .map_or(0, |standing| standing.waiting / u64::try_from(standing.total).unwrap_or(0).max(1))
}

/// The reply. `image` is a data URL; `alternative` the kind that may be asked for instead.
#[derive(Serialize)]
struct Challenge {
    challenge: String,
    kind: &'static str,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternative: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difficulty: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    site_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cdata: Option<String>,
}

async fn issue(
    kind: Kind,
    difficulty: u8,
    user: &UserId,
    item: &ItemId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Result<Challenge, Problem> {
    let challenge = Challenge {
        challenge: String::new(),
        kind: kind.as_str(),
        expires_at,
        image: None,
        alternative: None,
        difficulty: None,
        site_key: None,
        script_url: None,
        action: None,
        cdata: None,
    };
    Ok(match kind {
        // Nothing to solve: the same client works, and sends an empty answer.
        Kind::Off => challenge,
        Kind::Pow => {
            let (token, _) =
                Challenges::shared().await?.issue(Task::Pow { bits: difficulty }, user, item, now);
            Challenge { challenge: token, difficulty: Some(difficulty), ..challenge }
        }
        Kind::Turnstile => {
            let (token, _) = Challenges::shared().await?.issue(Task::Turnstile, user, item, now);
            Challenge {
                site_key: Some(settings::required("turnstile_site_key").await?.to_string()),
                script_url: Some(settings::required("turnstile_script_url").await?.to_string()),
                action: Some(WIDGET_ACTION),
                // Whoever passes the widget passes it for this challenge.
                cdata: challenge::id_of(&token),
                challenge: token,
                ..challenge
            }
        }
        Kind::Image => {
            let challenges = Challenges::shared().await?;
            let Ready { challenge: prepared, png } = pool::next(&challenges, difficulty).await?;
            let (token, _) = challenges.issue(Task::Image(prepared), user, item, now);
            Challenge {
                challenge: token,
                image: Some(format!("data:image/png;base64,{}", BASE64.encode(png))),
                alternative: Some(Kind::Pow.as_str()),
                ..challenge
            }
        }
    })
}
