//! Sales and items as published, and the OpenAPI document; for everybody.
//!
//! Routes `GET /api/sales?page&page_size&q`, `GET /api/sales/{id}`, `GET /api/items/{id}`, `GET /api/openapi.json`.
//!
//! Reads the key-value store. When a stored snapshot gets too old, it asks Redis (script `view_lane`). While Redis is gone, it
//! shows the last snapshot. Problems: not-found, invalid (for a query), unavailable.

use futures::future::try_join_all;
use sale::ids::{ItemId, SaleId};
use sale::time::Timestamp;
use serde::Serialize;
use web::http::etag;
use web::http::request::PathId;
use web::shop::catalogue::{self, ListedSale};
use web::shop::views::Item;
use web::{Caching, HeaderValue, Method, Problem, Response, StatusCode};

const OPENAPI: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// Caches may keep a response for this long; meanwhile the page counts down by itself.
const KEPT: Caching = Caching::Public { seconds: 1 };

web::service!("catalogue", handle, settings: COMMON);

async fn handle(request: &mut web::Request) -> Result<Response, Problem> {
    let get = [Method::GET];
    match request.segments()[..] {
        ["api", "sales"] => {
            request.on("/api/sales", &get)?;
            list(request).await
        }
        ["api", "sales", id] => {
            request.on("/api/sales/:id", &get)?;
            sale(request, id).await
        }
        ["api", "items", id] => {
            request.on("/api/items/:id", &get)?;
            item(request, id).await
        }
        ["api", "openapi.json"] => {
            request.on("/api/openapi.json", &get)?;
            let json = HeaderValue::from_static("application/json");
            Ok(Response::bytes(StatusCode::OK, json, OPENAPI)
                .caching(Caching::Public { seconds: 300 })
                .with_etag(&etag::of(OPENAPI.as_bytes()), request.headers()))
        }
        _ => Err(Problem::NotFound { what: "route" }),
    }
}

async fn list(request: &web::Request) -> Result<Response, Problem> {
    let query = request.query()?;
    query.only(&["page", "page_size", "q"])?;
    let page = query.page()?;
    let index = catalogue::index().await?;
    let found = index.search(query.sought()?);
    let sales =
        try_join_all(page.slice(&found).iter().map(|listed| view_of_sale(listed, request.now()))).await?;
    let list = SaleList { sales, page: page.number, page_size: page.size, total: found.len() };
    Ok(with_time(request, &list, request.now()))
}

async fn sale(request: &web::Request, id: &str) -> Result<Response, Problem> {
    let id = SaleId::in_path(id)?;
    let index = catalogue::index().await?;
    let listed = index.sale(&id).ok_or(Problem::NotFound { what: "sale" })?;
    Ok(with_time(request, &view_of_sale(listed, request.now()).await?, request.now()))
}

async fn item(request: &web::Request, id: &str) -> Result<Response, Problem> {
    let id = ItemId::in_path(id)?;
    let snapshot = catalogue::item_to_show(&id).await?;
    let server_time = snapshot.server_time(request.now());
    Ok(with_time(request, &snapshot.view(request.now()), server_time))
}

/// A response with `view` and the time. The ETag changes with everything in `view` but not with the time: a client that
/// has the view needs neither.
fn with_time(request: &web::Request, view: &impl Serialize, server_time: Timestamp) -> Response {
    let tag = match serde_json::to_vec(view) {
        Ok(bytes) => etag::of(&bytes),
        Err(error) => return Response::problem(&Problem::unavailable(error), request.request_id()),
    };
    Response::ok(&Timed { view, server_time }).caching(KEPT).with_etag(&tag, request.headers())
}

#[derive(Serialize)]
struct Timed<'a, T> {
    #[serde(flatten)]
    view: &'a T,
    server_time: Timestamp,
}

#[derive(Serialize)]
struct SaleList {
    sales: Vec<SaleView>,
    page: usize,
    page_size: usize,
    /// Sales in all pages.
    total: usize,
}

#[derive(Serialize)]
struct SaleView {
    id: SaleId,
    title: String,
    description: String,
    starts_at: Timestamp,
    ends_at: Timestamp,
    version: u64,
    items: Vec<Item>,
}

async fn view_of_sale(listed: &ListedSale, now: Timestamp) -> Result<SaleView, Problem> {
    let snapshots = listed.items.iter().map(async |item| match catalogue::item_to_show(&item.id).await {
        Ok(snapshot) => Ok(Some(snapshot)),
        // Somebody removed it since the list was made.
        Err(Problem::NotFound { .. }) => Ok(None),
        Err(problem) => Err(problem),
    });
    let snapshots = try_join_all(snapshots).await?;
    let sale = listed.sale.clone();
    Ok(SaleView {
        id: sale.id,
        title: sale.title,
        description: sale.description,
        starts_at: sale.starts_at,
        ends_at: sale.ends_at,
        version: sale.version,
        items: snapshots.iter().flatten().map(|snapshot| snapshot.view(now)).collect(),
    })
}
