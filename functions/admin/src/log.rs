//! The log of what operators changed. [`sale::change`] says how an entry gets there.

use sale::change::LoggedChange;
use sale::{Engine, work};
use serde::Serialize;
use web::{Problem, Request, Response, SharedRedis};

use crate::sales::announced;

#[derive(Serialize)]
struct Log {
    entries: Vec<LoggedChange>,
    page: usize,
    page_size: usize,
    total: u64,
}

/// Lists entries, newest first. Before that, it collects changes that a failed call left in a lane.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let engine = Engine::new(SharedRedis);
    for lane in work::lanes(&engine).await? {
        announced(engine.collect_changes(&lane).await.map(drop).map_err(Problem::from));
    }
    let skip = page.number.saturating_sub(1).saturating_mul(page.size);
    let (entries, total) = engine.log(skip, page.size).await?;
    Ok(Response::ok(&Log { entries, page: page.number, page_size: page.size, total }))
}
