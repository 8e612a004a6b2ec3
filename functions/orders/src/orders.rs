//! Lists a shopper's orders and shows one. The order database keeps all orders. Redis has those of sales that still live,
//! and is ahead of the database.

use futures::future::join_all;
use order_ledger::{personal_data, read, spin};
use sale::Engine;
use sale::catalogue::Item;
use sale::ids::{ItemId, OrderId, UserId};
use sale::order::OrderState;
use sale::scripts::{Contact, OrderView};
use serde::Serialize;
use web::caller::session;
use web::shop::views::Order;
use web::shop::worker;
use web::{Problem, Request, Response, SharedRedis};

use crate::NO_ORDER;

/// Shows one order with its delivery address.
pub async fn show(request: &Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    if let Some((order, contact)) = Engine::new(SharedRedis).order(&id, Some(&user)).await? {
        return Ok(Response::ok(&Shown::new(&order, contact)));
    }
    // The sale has left Redis; the database has all its orders.
    let sql = spin::open().await?;
    let order = read::order_of(&sql, &id, &user).await?.ok_or(NO_ORDER)?;
    let contact = personal_data::contact(&sql, &id).await?;
    Ok(Response::ok(&Shown::new(&order.as_view(), contact)))
}

/// Shows what one order is for, also when its sale is archived.
pub async fn item(request: &Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    let engine = Engine::new(SharedRedis);
    // Only the shopper whose order it is: so made-up ids read no document.
    if engine.order(&id, Some(&user)).await?.is_none()
        && read::order_of(&spin::open().await?, &id, &user).await?.is_none()
    {
        return Err(NO_ORDER);
    }
    let item: Option<Item> = engine.document(id.lane.item.as_str()).await?;
    let Item { id, title, subtitle, image, .. } = item.ok_or(Problem::NotFound { what: "item" })?;
    Ok(Response::ok(&OrderItem { id, title, subtitle, image }))
}

/// Lists the shopper's orders, newest first, with an order that was just made.
///
/// However many lanes there are, it asks the database once, and Redis for the shopper's latest orders and then for those
/// orders at once. If Redis lost the note of an order, the order appears when the database has it.
pub async fn list(request: &Request) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    let query = request.query()?;
    query.only(&["page", "page_size"])?;
    let page = query.page()?;
    let engine = Engine::new(SharedRedis);
    let recorded = match recorded(&user, page).await {
        Ok(recorded) => Some(recorded),
        // While the database is gone, show the orders in Redis. The list may lack old orders; what it shows is right.
        Err(problem) => {
            worker::log_failure("orders", "", problem.cause().unwrap_or_default());
            None
        }
    };
    let whole = recorded.is_some();
    let (mut orders, mut total) = recorded.unwrap_or_default();
    // An order that can still change has changed in Redis first. All are asked for at once.
    let mut asked: Vec<OrderId> = orders
        .iter()
        .filter(|order| !is_final(order.state))
        .filter_map(|order| order.id.parse().ok())
        .collect();
    if page.number == 1 {
        let noted = engine.recent_orders(&user).await?;
        asked.extend(noted.into_iter().filter(|id| !orders.iter().any(|order| order.id == id.to_string())));
    }
    // A noted order that is older than a full page is on a later page.
    let oldest = orders.last().filter(|_| orders.len() >= page.size).map(|order| order.created_at);
    let found = join_all(asked.iter().map(|id| engine.order(id, Some(&user)))).await;
    for found in found {
        let Some((newer, _)) = found? else { continue };
        let newer = Order::from(&newer);
        match orders.iter_mut().find(|order| order.id == newer.id) {
            Some(order) => *order = newer,
            None if oldest.is_none_or(|oldest| newer.created_at > oldest) => {
                orders.push(newer);
                total += 1;
            }
            None => {}
        }
    }
    orders.sort_by(|left, right| (right.created_at, &right.id).cmp(&(left.created_at, &left.id)));
    let complete = if whole { None } else { Some(false) };
    Ok(Response::ok(&List { orders, page: page.number, page_size: page.size, total, complete }))
}

/// The problem for an order whose state does not allow it to be `what`.
pub fn conflict(what: &str, state: OrderState) -> Problem {
    let detail = format!("An order that is {} can't be {what}", state.as_str());
    Problem::Conflict { detail, state: Some(state.as_str()) }
}

/// The problem for an order that Redis does not have: either only the database still has it, or it never existed.
pub async fn settled_or_unknown(id: &OrderId, user: &UserId, what: &str) -> Problem {
    let found = async { Ok(read::order_of(&spin::open().await?, id, user).await?) };
    match found.await {
        // An order that can still change is in Redis, unless Redis was lost and the lane is not rebuilt yet.
        Ok(Some(order)) if order.state == OrderState::Unpaid => {
            Problem::unavailable(format_args!("order {id} is not in Redis: reconcile"))
        }
        Ok(Some(order)) => conflict(what, order.state),
        Ok(None) => NO_ORDER,
        Err(problem) => problem,
    }
}

async fn recorded(user: &UserId, page: web::http::query::Page) -> Result<(Vec<Order>, u64), Problem> {
    let sql = spin::open().await?;
    let size = u32::try_from(page.size).unwrap_or(u32::MAX);
    let offset = u32::try_from(page.number.saturating_sub(1).saturating_mul(page.size)).unwrap_or(u32::MAX);
    let found = read::orders_of(&sql, user, size, offset).await?;
    Ok((found.rows.iter().map(|order| Order::from(&order.as_view())).collect(), found.total))
}

fn is_final(state: OrderState) -> bool {
    matches!(state, OrderState::Paid | OrderState::Refunded)
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    order: Order,
    /// These three are null once they are erased.
    contact: Option<String>,
    address: Option<String>,
    note: Option<String>,
}

impl Shown {
    fn new(order: &OrderView, contact: Option<Contact>) -> Self {
        let order = Order::from(order);
        match contact {
            Some(Contact { contact, address, note }) => {
                Shown { order, contact: Some(contact), address: Some(address), note: Some(note) }
            }
            None => Shown { order, contact: None, address: None, note: None },
        }
    }
}

#[derive(Serialize)]
struct OrderItem {
    id: ItemId,
    title: String,
    subtitle: String,
    image: String,
}

#[derive(Serialize)]
struct List {
    orders: Vec<Order>,
    page: usize,
    page_size: usize,
    total: u64,
    /// Present, and false, when the order database could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    complete: Option<bool>,
}
