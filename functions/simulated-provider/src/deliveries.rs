//! Webhooks to the shop. Each is signed and sent again until the shop accepts or refuses it.

use std::time::{Duration, Instant};

use provider_simulation::{Delivery, ProviderPayment, SimulatedProvider};
use sale::ids::{OrderId, PaymentId};
use sale::money::Money;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::platform::{outbound, settings};
use web::shop::payment::{Round, SIGNATURE, sign};
use web::shop::worker;
use web::{Problem, SharedRedis, header};

/// The shop's route for webhooks.
const WEBHOOK: &str = "/api/payments/webhook";
/// The timeout of each step of a request to the shop. It is shorter than a claim, so that no second sender starts meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// A round sends no further webhook after this long, because its caller waits. The alarm reminds another caller of the rest.
const LONGEST_ROUND: Duration = Duration::from_millis(500);

/// Delivers the webhooks that are due, the longest due first.
pub async fn round(provider: &SimulatedProvider<SharedRedis>) -> Result<Round, Problem> {
    let began = Instant::now();
    let mut round = Round::default();
    while began.elapsed() < LONGEST_ROUND {
        match deliver(provider, None).await? {
            Some(Delivery::Delivered { .. }) => round.delivered += 1,
            Some(Delivery::Refused { .. }) => round.refused += 1,
            Some(Delivery::Failed { .. }) => round.failed += 1,
            None => break,
        }
    }
    Ok(round)
}

/// Delivers one webhook that is due: that of `payment`, or the longest due. Returns `None` if none is due.
pub async fn deliver(
    provider: &SimulatedProvider<SharedRedis>,
    payment: Option<&PaymentId>,
) -> Result<Option<Delivery>, Problem> {
    let secret = settings::secret(settings::PAYMENT_WEBHOOK_SECRET).await?;
    let Some((claimed, now)) = provider.claim_delivery(payment).await? else { return Ok(None) };
    let delivery = send(&claimed, secret.as_bytes(), now).await?;
    if let Delivery::Refused { status, slug } = &delivery {
        worker::log_failure(
            "simulated-provider",
            "",
            format_args!("the shop refused {}: {status} {slug}", claimed.id),
        );
    }
    provider.report_delivery(&claimed, &delivery).await?;
    Ok(Some(delivery))
}

async fn send(payment: &ProviderPayment, secret: &[u8], now: Timestamp) -> Result<Delivery, Problem> {
    let choice = payment.choice.ok_or_else(|| Problem::unavailable("a webhook without a choice"))?;
    let event = Event {
        event_id: &payment.event_id,
        payment_id: &payment.id,
        order_id: &payment.id.order,
        kind: choice.event_type(),
        amount: &payment.amount,
    };
    let body = serde_json::to_vec(&event).map_err(Problem::unavailable)?;
    // Each try has its own signature, by Redis's clock, because the shop refuses signatures older than five minutes.
    let signature = sign(&body, secret, now)?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (SIGNATURE, signature.as_str())];
    let url = format!("{}{WEBHOOK}", outbound::OWN);
    Ok(match outbound::post(&url, &headers, body, PATIENCE).await {
        Ok(answer) => {
            let problem: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
            let slug = problem.kind.rsplit('/').next().unwrap_or_default();
            Delivery::of(Some(answer.status.as_u16()), slug)
        }
        Err(cause) => {
            worker::log_failure("simulated-provider", "", format_args!("the shop does not answer: {cause}"));
            Delivery::of(None, "")
        }
    })
}

/// The webhook's body.
#[derive(Serialize)]
struct Event<'a> {
    event_id: &'a str,
    payment_id: &'a PaymentId,
    order_id: &'a OrderId,
    #[serde(rename = "type")]
    kind: &'static str,
    amount: &'a Money,
}

/// The member of a problem document that names the problem.
#[derive(Deserialize, Default)]
struct Refusal {
    #[serde(rename = "type")]
    kind: String,
}
