//! Challenges, while an item is open.
//!
//! Route `POST /api/items/{id}/challenges`, for shoppers. The script `count_challenge` counts the call against the allowances
//! of shopper and address. The item's snapshot says which kind of challenge to issue.
//!
//! The body is empty or names the kind that the shopper prefers. Where pictures are asked for, a shopper who can't see may
//! choose `{"kind": "pow"}`, a proof of work that is harder than elsewhere.
//!
//! Problems: unauthorized, not-found, blocked,
//! not-started, ended, sold-out, paused, rate-limited, invalid, unavailable.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sale::ids::{ItemId, Lane, UserId};
use sale::item::{ItemState, LANES};
use sale::scripts::ChallengeCount;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::{allowances, session};
use web::platform::{random, settings};
use web::shop::catalogue::Snapshot;
use web::shop::challenge::{self, Challenges, Kind, LIFETIME_MS, Record, Task, WIDGET_ACTION};
use web::shop::{blocklist, catalogue, mark, rules};
use web::{Method, Problem, Response, SharedRedis};

/// After how many milliseconds a shopper may ask again while the sale is paused.
const PAUSE_MS: u64 = 5_000;
/// The bits of a proof of work instead of a picture: two more than usual, which makes it four times the work.
const ALTERNATIVE_BITS: u8 = Kind::Pow.usual_difficulty() + 2;

web::service!("captcha", handle, settings: COMMON, IDENTITY, [
    RATE_LIMITS,
    CAPTCHA_KIND,
    CAPTCHA_DIFFICULTY,
    TURNSTILE_SITE_KEY,
    TURNSTILE_SCRIPT_URL,
]);

async fn handle(request: &mut web::Request) -> Result<Response, Problem> {
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
        ItemState::SoldOut => return Err(Problem::SoldOut { available: 0 }),
        ItemState::Ended => return Err(Problem::Ended),
        ItemState::Draft => return Err(Problem::NotFound { what: "item" }),
    }
    let record = count(request, &user, &item).await?;
    let (kind, difficulty) = chosen(wish, &snapshot, record).await?;
    // The shopper sees the sale's clock. The token expires by this machine's clock, which also checks it.
    let expires_at = server_time.plus_millis(LIFETIME_MS);
    Ok(Response::created(&issue(kind, difficulty, &user, &item, request.now(), expires_at).await?))
}

/// Counts this challenge against the allowances of shopper and address, in the only round trip of a challenge.
///
/// Returns what the address has left, or nothing where callers have no allowances. This is its record: a failed try costs
/// as much as three good ones.
async fn count(request: &web::Request, user: &UserId, item: &ItemId) -> Result<Option<Record>, Problem> {
    let Some(address) = allowances::caller(request).await? else { return Ok(None) };
    let lane = Lane::of(item.clone(), user, LANES);
    let counted = sale::Engine::new(SharedRedis).count_challenge(&lane, user, &address).await?;
    let record = counted.allowances.get(1).map(|of| Record { limit: of.capacity, left: of.left() });
    match allowances::noted(request, &allowances::TRIES, counted) {
        ChallengeCount::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
        // The reservation tells the shopper that an item is no longer published.
        ChallengeCount::Counted { .. } | ChallengeCount::NotFound => Ok(record),
    }
}

/// Whether the shopper has a reservation of a sold-out item. Shoppers who lost the response, and the page with it, must be
/// able to ask again; that shows them what they have.
async fn has_reservation(user: &UserId, item: &ItemId, now: Timestamp) -> Result<bool, Problem> {
    let lane = Lane::of(item.clone(), user, LANES);
    if mark::refuses(&lane, user, now).await {
        return Ok(false);
    }
    let alive = sale::Engine::new(SharedRedis).alive(&lane, user).await?;
    if alive.is_none() {
        // The next shopper need not ask Redis.
        mark::set(&lane, user, now).await;
    }
    Ok(alive.is_some())
}

/// What the shopper prefers to solve.
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

/// The kind of challenge to issue, and its difficulty. A proof of work may stand in for a picture.
///
/// A proof of work gets harder with each shopper who waits for a unit, and with the address's recent tries. So a bot farm
/// pays most when the crowd is largest.
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

/// The response. `image` is a data URL; `alternative` is the kind that the shopper may ask for instead.
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
        // Nothing to solve. The same client works, and sends an empty solution.
        Kind::Off => challenge,
        Kind::Pow => {
            let (token, _) =
                Challenges::shared().await?.issue(Task::Pow { bits: difficulty }, user, item, now);
            Challenge { challenge: token, difficulty: Some(difficulty), ..challenge }
        }
        Kind::Turnstile => {
            let (token, _) = Challenges::shared().await?.issue(Task::Turnstile, user, item, now);
            Challenge {
                site_key: Some(settings::required(settings::TURNSTILE_SITE_KEY).await?.to_string()),
                script_url: Some(settings::required(settings::TURNSTILE_SCRIPT_URL).await?.to_string()),
                action: Some(WIDGET_ACTION),
                // Binds the widget's solution to this challenge.
                cdata: challenge::id_of(&token),
                challenge: token,
                ..challenge
            }
        }
        Kind::Image => {
            let drawn = drawn(difficulty);
            let task = Task::Image { solution: &drawn.solution };
            let (token, _) = Challenges::shared().await?.issue(task, user, item, now);
            Challenge {
                challenge: token,
                image: Some(format!("data:image/png;base64,{}", BASE64.encode(drawn.png))),
                alternative: Some(Kind::Pow.as_str()),
                ..challenge
            }
        }
    })
}

/// A new picture of so many characters.
fn drawn(characters: u8) -> puzzle::Puzzle {
    let secret: [u8; puzzle::MOST_CHARACTERS] = random::bytes();
    let secret = secret.get(..usize::from(characters)).unwrap_or(&secret);
    puzzle::draw(secret, u64::from_le_bytes(random::bytes()))
}
