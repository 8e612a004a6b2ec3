//! Opening a payment: the shopper is sent to the provider's page, and the provider's webhook tells how it went.

use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::scripts::{OrderView, PaymentOpened, PaymentState};
use serde::Serialize;
use web::{Problem, Request, Response, SharedRedis, session, settings};

use crate::orders;

/// Opens an attempt to pay, or shows the one that is pending.
pub async fn open(request: &Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    match Engine::new(SharedRedis).pay(&id, &user).await? {
        PaymentOpened::New(order) | PaymentOpened::Pending(order) => {
            let (id, state) =
                order.payment.clone().ok_or_else(|| Problem::unavailable("a payment without an attempt"))?;
            let pay_url = pay_url(&id, &order).await?;
            Ok(Response::created(&Payment { id, state, pay_url }))
        }
        PaymentOpened::Conflict(state) => Err(orders::conflict("paid", state)),
        PaymentOpened::NotFound => Err(orders::settled_or_unknown(&id, &user, "paid").await),
    }
}

/// The provider's page for this payment: the setting `payment_url` with its placeholders filled in.
async fn pay_url(id: &PaymentId, order: &OrderView) -> Result<String, Problem> {
    let total = order.total();
    Ok(settings::text("payment_url")
        .await?
        .replace("{payment_id}", &id.to_string())
        .replace("{order_id}", &order.id.to_string())
        .replace("{amount}", &total.amount.to_string())
        .replace("{currency}", total.currency.as_str()))
}

#[derive(Serialize)]
struct Payment {
    id: PaymentId,
    state: PaymentState,
    pay_url: String,
}
