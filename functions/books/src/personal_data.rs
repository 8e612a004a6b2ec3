//! Erases contact, address and note of orders. Events, amounts and states stay, and audits agree as before.

use std::time::Duration;

use order_ledger::personal_data::{self, EraseError};
use order_ledger::spin;
use sale::Engine;
use sale::ids::{OrderId, UserId};
use serde::Serialize;
use web::{Problem, Response, SharedRedis};

/// How long one call copies waiting events, so that the order database knows all orders of a shopper.
const PATIENCE: Duration = Duration::from_secs(10);

/// Erases those of one order. A repeat changes nothing.
pub async fn erase_order(id: &str) -> Result<Response, Problem> {
    const NO_ORDER: Problem = Problem::NotFound { what: "order" };
    let id: OrderId = id.parse().map_err(|_| NO_ORDER)?;
    match personal_data::erase_order(&Engine::new(SharedRedis), &spin::open().await?, &id).await? {
        true => Ok(Response::no_content()),
        false => Err(NO_ORDER),
    }
}

#[derive(Serialize)]
struct Erased {
    /// Orders that had personal data until now.
    orders: usize,
}

/// Erases those of all orders that a shopper has made so far.
pub async fn erase_shopper(user: &str) -> Result<Response, Problem> {
    let user: UserId = user.parse().map_err(|_| Problem::NotFound { what: "shopper" })?;
    let engine = Engine::new(SharedRedis);
    match personal_data::erase_shopper(&engine, &spin::open().await?, &user, PATIENCE).await {
        Ok(orders) => Ok(Response::ok(&Erased { orders })),
        Err(EraseError::Copy(error)) => Err(error.into()),
        Err(EraseError::NotCopied(lane)) => Err(Problem::conflict(format!(
            "The order database does not have all orders of lane {lane} yet. Repeat the call, or reconcile first"
        ))),
    }
}
