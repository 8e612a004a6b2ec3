//! One reservation, for its own shopper; for anybody else it does not exist.
//!
//! | route | script |
//! | --- | --- |
//! | `GET /api/reservations/{id}` | `poll`: the result, polled |
//! | `DELETE /api/reservations/{id}` | `release`: gives a place or a hold back |
//!
//! A poll that finds overdue work of the lane does a piece of it (scripts `lapse`, `grant`). So a lost doorbell or alarm costs
//! time only, and everything completes on a host without Redis triggers.
//! Problems: unauthorized, not-found, conflict, rate-limited, unavailable.

use sale::ids::{ReservationId, UserId};
use sale::scripts::{Polled, Released, ReservationView};
use sale::{Engine, work};
use web::caller::allowances;
use web::shop::views::Reservation;
use web::shop::worker;
use web::{Method, Problem, Request, Response, SharedRedis};

const NOT_FOUND: Problem = Problem::NotFound { what: "reservation" };

/// Scripts that one poll may run to drain the queue; each grants 500 reservations. They take a few milliseconds.
const BATCHES: u32 = 4;

web::service!("reservation", handle, settings: COMMON, IDENTITY, [RATE_LIMITS]);

async fn handle(request: &mut Request) -> Result<Response, Problem> {
    let method = request.on("/api/reservations/:id", &[Method::GET, Method::DELETE])?;
    let user = web::caller::session::user(request).await?;
    let id: ReservationId = request.id(2)?;
    if method == Method::DELETE { release(&id, &user).await } else { poll(request, &id, &user).await }
}

async fn poll(request: &Request, id: &ReservationId, user: &UserId) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let polled = engine.poll(id, user, allowances::are_on().await?).await?;
    let mut view = found(allowances::noted(request, &allowances::POLLS, polled))?;
    if view.overdue.queue || view.overdue.deadlines {
        if view.overdue.deadlines {
            let done = work::lapse(&engine, &id.lane).await?;
            worker::log_done("reservation", &id.lane, &done).await;
        }
        let done = work::drain(&engine, &id.lane, BATCHES).await?;
        worker::log_done("reservation", &id.lane, &done).await;
        // This second look is free of charge: the shopper's poll did the work.
        view = found(engine.poll(id, user, false).await?.outcome)?;
    }
    Ok(Response::ok(&Reservation::new(id, view.state, view.quantity, view.deadline, view.pace)))
}

fn found(polled: Polled) -> Result<ReservationView, Problem> {
    match polled {
        Polled::Found(view) => Ok(view),
        Polled::NotFound => Err(NOT_FOUND),
        Polled::RateLimited { retry_after_ms } => Err(Problem::RateLimited { retry_after_ms }),
    }
}

async fn release(id: &ReservationId, user: &UserId) -> Result<Response, Problem> {
    match Engine::new(SharedRedis).release(id, user).await? {
        Released::Done => Ok(Response::no_content()),
        Released::Conflict(state) => Err(Problem::Conflict {
            detail: format!("A reservation that is {} can't be given back", state.as_str()),
            state: Some(state.as_str()),
        }),
        Released::NotFound => Err(NOT_FOUND),
    }
}
