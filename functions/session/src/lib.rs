//! `POST /api/session`, for everybody: opens a guest session.
//!
//! A caller with a valid session gets it renewed and stays the same person; any other caller becomes a new person. The script
//! `spend_allowance` counts sessions by address. Problems: not-found (where the shop issues its own tokens), rate-limited,
//! unauthorized (from another site's page), unavailable.

use sale::Engine;
use sale::ids::UserId;
use sale::rules::MAX_ALLOWANCE;
use sale::scripts::Spent;
use sale::time::Timestamp;
use serde::Serialize;
use web::caller::session::AuthMode;
use web::caller::{allowances, page, session};
use web::platform::settings;
use web::{Method, Problem, Response, SharedRedis};

web::service!("session", handle, settings: COMMON, [SESSION_SECRET, AUTH_MODE, RATE_LIMITS, SESSIONS_PER_MINUTE]);

async fn handle(request: &mut web::Request) -> Result<Response, Problem> {
    match request.segments()[..] {
        ["api", "session"] => request.on("/api/session", &[Method::POST])?,
        _ => return Err(Problem::NotFound { what: "route" }),
    };
    if settings::get::<AuthMode>(settings::AUTH_MODE).await? == AuthMode::Jwt {
        return Err(Problem::NotFound { what: "route" });
    }
    request.empty_body().await?;
    // Otherwise a form on another site could replace a shopper's session; they would lose the way to their orders.
    page::require_own(request).await?;
    count(request).await?;
    // An expired or forged session counts as none: this call is how a shopper gets a new one.
    let known = session::present(request).await.ok().flatten().map(|session| session.user);
    let (opened, token) = session::open_guest(known, request.now()).await?;
    let answer = Opened { user_id: &opened.user, token: &token, expires_at: opened.expires_at };
    let secure = page::is_behind_tls(request).await?;
    Ok(session::with_cookie(Response::created(&answer), &token, secure))
}

#[derive(Serialize)]
struct Opened<'a> {
    user_id: &'a UserId,
    token: &'a str,
    expires_at: Timestamp,
}

/// Counts this session against the address's allowance for one minute.
async fn count(request: &web::Request) -> Result<(), Problem> {
    let Some(address) = allowances::caller(request).await? else { return Ok(()) };
    let most = settings::number(settings::SESSIONS_PER_MINUTE, 1, u64::from(MAX_ALLOWANCE)).await?;
    let most = u32::try_from(most).unwrap_or(MAX_ALLOWANCE);
    let counted = Engine::new(SharedRedis).count_session(&address, most).await?;
    match allowances::noted(request, &allowances::SESSIONS, counted) {
        Spent::Done => Ok(()),
        Spent::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
    }
}
