//! Opens a payment. The shopper goes to the provider's page, and the provider's webhook tells us how the payment went.

use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::scripts::{MOST_PAYMENTS, PaymentOpened, PaymentState};
use serde::{Deserialize, Serialize};
use web::caller::session;
use web::{Problem, Request, Response, SharedRedis};

use crate::orders;
use crate::provider::Provider;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Body {
    /// Opens a new payment even if one is pending: the shopper has abandoned that one.
    replace: bool,
}

/// Opens a payment, or shows the one that is pending.
pub async fn open(request: &mut Request, id: OrderId) -> Result<Response, Problem> {
    let user = session::user(request).await?;
    let Body { replace } = request.json_if_any().await?.unwrap_or_default();
    // Before the payment is opened: without a provider nobody could complete it.
    let provider = Provider::chosen().await?;
    let engine = Engine::new(SharedRedis);
    let opened =
        if replace { engine.replace_payment(&id, &user).await? } else { engine.pay(&id, &user).await? };
    match opened {
        PaymentOpened::New(order) | PaymentOpened::Pending(order) => {
            let (id, state) =
                order.payment.clone().ok_or_else(|| Problem::unavailable("a payment without an attempt"))?;
            let pay_url = provider.page(&engine, &id, &order).await?;
            Ok(Response::created(&Payment { id, state, pay_url }))
        }
        PaymentOpened::TooMany => {
            Err(Problem::conflict(format!("An order can open {MOST_PAYMENTS} payments, and this one has")))
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
