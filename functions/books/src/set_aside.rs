//! Events that were set aside because they could not be recorded. The operator lists, retries or dismisses them.

use order_ledger::set_aside::{self, SetAside};
use order_ledger::spin;
use sale::ids::{ItemId, Lane};
use serde::{Deserialize, Serialize};
use web::{Problem, Request, Response};

/// Events that one call retries, and that one call passes over.
const MOST: u32 = 1_000;

#[derive(Serialize)]
struct List {
    events: Vec<SetAside>,
    page: usize,
    page_size: usize,
    total: u64,
}

/// Lists events that were set aside, oldest first.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let sql = spin::open().await?;
    let (size, offset) = crate::limits(page);
    let events = set_aside::list(&sql, size, offset).await?;
    let total = set_aside::count(&sql).await?;
    Ok(Response::ok(&List { events, page: page.number, page_size: page.size, total }))
}

/// Retries all of them; events of one order keep their order.
pub async fn retry() -> Result<Response, Problem> {
    let retried = set_aside::retry(&spin::open().await?, MOST, 0).await?;
    Ok(Response::ok(&retried))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    item_id: ItemId,
    lane: u16,
    stream_id: String,
}

/// Dismisses one event: the operator has settled its matter by hand.
pub async fn dismiss(request: &mut Request) -> Result<Response, Problem> {
    let One { item_id, lane, stream_id } = request.json().await?;
    let lane = Lane::new(item_id, lane);
    if set_aside::dismiss(&spin::open().await?, &lane, &stream_id).await? {
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

/// Gives up waiting for events that will never come, so that later ones are written.
pub async fn pass_over(request: &mut Request) -> Result<Response, Problem> {
    let Missing { item_id, lane, up_to } = request.json().await?;
    let lane = Lane::new(item_id, lane);
    let sql = spin::open().await?;
    let written = order_ledger::read::written(&sql, &lane).await?;
    if up_to > written + i64::from(MOST) {
        let most = written + i64::from(MOST);
        return Err(Problem::invalid("up_to", format!("may be at most {most}: {written} are written")));
    }
    let passed_over = set_aside::pass_over(&sql, &lane, up_to).await?;
    Ok(Response::ok(&PassedOver { passed_over }))
}
