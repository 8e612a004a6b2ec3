//! Guest sessions.
//!
//! Route `POST /api/session`, for all. Whoever brings a good session gets it renewed and stays the same person; anybody
//! else becomes a new one. Runs the `session` script, which counts sessions by address. Problems: `not-found` where
//! shoppers bring the shop's own tokens, `rate-limited`, `unauthorized` from another site's page, `unavailable`.

use sale::Engine;
use sale::ids::UserId;
use sale::rules::MAX_ALLOWANCE;
use sale::scripts::Spent;
use sale::time::Timestamp;
use serde::Serialize;
use web::session::AuthMode;
use web::{Method, Problem, Response, SharedRedis, limits, session, settings};

web::service!("session", answer);

async fn answer(request: &mut web::Request) -> Result<Response, Problem> {
    match request.segments()[..] {
        ["api", "session"] => request.on("/api/session", &[Method::POST])?,
        _ => return Err(Problem::NotFound { what: "route" }),
    };
    if settings::get::<AuthMode>("auth_mode").await? == AuthMode::Jwt {
        return Err(Problem::NotFound { what: "route" });
    }
    request.empty_body().await?;
    // A form on another site could otherwise replace a shopper's session, and with it the way to their orders.
    session::require_own_page(request).await?;
    count(request).await?;
    // A session that lapsed or was forged is as good as none: this is where one gets another.
    let known = session::present(request).await.ok().flatten().map(|session| session.user);
    let (opened, token) = session::open_guest(known, request.now()).await?;
    let answer = Opened { user_id: &opened.user, token: &token, expires_at: opened.expires_at };
    let secure = session::is_behind_tls(request).await;
    Ok(session::with_cookie(Response::created(&answer), &token, secure))
}

#[derive(Serialize)]
struct Opened<'a> {
    user_id: &'a UserId,
    token: &'a str,
    expires_at: Timestamp,
}

/// Counts this session against what one address may open in a minute.
async fn count(request: &web::Request) -> Result<(), Problem> {
    let Some(address) = limits::caller(request).await? else { return Ok(()) };
    let most = settings::number("sessions_per_minute", 1, u64::from(MAX_ALLOWANCE)).await?;
    let most = u32::try_from(most).unwrap_or(MAX_ALLOWANCE);
    let counted = Engine::new(SharedRedis).count_session(&address, most).await?;
    match limits::noted(request, &limits::SESSIONS, counted) {
        Spent::Done => Ok(()),
        Spent::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
    }
}
