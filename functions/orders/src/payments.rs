//! Opens a payment. The shopper goes to the provider's page, and the provider's webhook tells us how the payment went.

use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::scripts::{PaymentOpened, PaymentState};
use serde::Serialize;
use web::caller::session;
use web::{Problem, Request, Response, SharedRedis};

use crate::orders;
use crate::provider::Provider;

/// Opens a payment, or shows the one that is pending.
pub async fn open(request: &mut Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    request.empty_body().await?;
    // Before the payment is opened: without a provider nobody could complete it.
    let provider = Provider::chosen().await?;
    let engine = Engine::new(SharedRedis);
    match engine.pay(&id, &user).await? {
        PaymentOpened::New(order) | PaymentOpened::Pending(order) => {
            let (id, state) =
                order.payment.clone().ok_or_else(|| Problem::unavailable("a payment without an attempt"))?;
            let pay_url = provider.page(&engine, &id, &order).await?;
            Ok(Response::created(&Payment { id, state, pay_url }))
        }
        PaymentOpened::Conflict(state) => Err(orders::conflict("paid", state)),
        PaymentOpened::NotFound => Err(orders::settled_or_unknown(&id, &user, "paid").await),
    }
}

#[derive(Serialize)]
struct Payment {
    id: PaymentId,
    state: PaymentState,
    pay_url: String,
}
