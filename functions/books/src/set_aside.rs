//! Events that could not be recorded: shown with their error, tried again, or settled without.

use order_ledger::set_aside::{self, SetAside};
use sale::ids::{ItemId, Lane};
use serde::{Deserialize, Serialize};
use web::{Problem, Request, Response};

use crate::open_ledger;

/// Events tried again by one call, and passed over by one.
const MOST: u32 = 1_000;

#[derive(Serialize)]
struct List {
    events: Vec<SetAside>,
    page: usize,
    page_size: usize,
    total: u64,
}

/// Events that are set aside, oldest first.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let sql = open_ledger().await?;
    let (size, offset) = crate::limits(page);
    let events = set_aside::list(&sql, size, offset).await.map_err(Problem::unavailable)?;
    let total = set_aside::count(&sql).await.map_err(Problem::unavailable)?;
    Ok(Response::ok(&List { events, page: page.number, page_size: page.size, total }))
}

/// Tries all of them again, those of an order in their order.
pub async fn retry() -> Result<Response, Problem> {
    let retried = set_aside::retry(&open_ledger().await?, MOST, 0).await.map_err(Problem::unavailable)?;
    Ok(Response::ok(&retried))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    item_id: ItemId,
    lane: u16,
    stream_id: String,
}

/// Declares the matter of one event settled without it.
pub async fn dismiss(request: &mut Request) -> Result<Response, Problem> {
    let One { item_id, lane, stream_id } = request.json().await?;
    let lane = Lane::new(item_id, lane);
    let open = set_aside::dismiss(&open_ledger().await?, &lane, &stream_id).await;
    if open.map_err(Problem::unavailable)? {
        Ok(Response::no_content())
    } else {
        Err(Problem::NotFound { what: "event set aside" })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Missing {
    item_id: ItemId,
    lane: u16,
    up_to: i64,
}

#[derive(Serialize)]
struct PassedOver {
    passed_over: u64,
}

/// Gives up waiting for events that will never come, so that those behind them are written.
pub async fn pass_over(request: &mut Request) -> Result<Response, Problem> {
    let Missing { item_id, lane, up_to } = request.json().await?;
    let lane = Lane::new(item_id, lane);
    let sql = open_ledger().await?;
    let written = order_ledger::read::written(&sql, &lane).await.map_err(Problem::unavailable)?;
    if up_to > written + i64::from(MOST) {
        let most = written + i64::from(MOST);
        return Err(Problem::invalid("up_to", format!("may be at most {most}: {written} are written")));
    }
    let passed_over = set_aside::pass_over(&sql, &lane, up_to).await.map_err(Problem::unavailable)?;
    Ok(Response::ok(&PassedOver { passed_over }))
}
