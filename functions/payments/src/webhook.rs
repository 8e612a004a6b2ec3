//! The payment provider's webhook. It must be signed and at most five minutes old, and may be repeated any number of times.

use sale::Engine;
use sale::catalogue::Item;
use sale::ids::{Lane, OrderId, PaymentId};
use sale::money::Money;
use sale::scripts::{EngineError, PaymentOutcome, Position, Settled};
use serde::{Deserialize, Serialize};
use web::http::json;
use web::platform::settings;
use web::shop::payment::{SIGNATURE, check_age, verify};
use web::{Problem, Request, Response, SharedRedis, header};

/// The longest name of an event, in characters.
const MOST_EVENT_ID: usize = 255;

/// Records how a payment went. Responds with 200 even if nothing changed, so that the provider stops repeating it.
pub async fn receive(request: &mut Request) -> Result<Response, Problem> {
    let secret = settings::secret(settings::PAYMENT_WEBHOOK_SECRET).await?;
    let signature = request.header(SIGNATURE).ok_or(Problem::BadSignature)?.to_owned();
    let body = request.body().await?;
    let signed = verify(&signature, &body, secret.as_bytes())?;
    let engine = Engine::new(SharedRedis);
    // By Redis's clock: if this machine's clock were an hour wrong, every webhook would be refused.
    check_age(signed, engine.time().await?)?;
    json::check_media_type(request.header(header::CONTENT_TYPE))?;
    let message: Message = json::parse(&body)?;
    if message.event_id.is_empty() || message.event_id.chars().count() > MOST_EVENT_ID {
        let most = format!("must have 1 to {MOST_EVENT_ID} characters");
        return Err(Problem::invalid("event_id", most));
    }
    let outcome = match message.kind.as_str() {
        "payment.succeeded" => PaymentOutcome::Succeeded,
        "payment.failed" => PaymentOutcome::Failed,
        _ => return Err(Problem::invalid("type", "must be payment.succeeded or payment.failed")),
    };
    let no_payment = Problem::NotFound { what: "payment" };
    let id: PaymentId = message.payment_id.parse().map_err(|_| no_payment.clone())?;
    if message.order_id.parse::<OrderId>().ok().as_ref() != Some(&id.order) {
        return Err(no_payment);
    }
    if let Some(currency) = message.amount.currency() {
        let Some((order, _)) = engine.order(&id.order, None).await? else {
            return Err(unknown(&engine, &id.order.lane).await);
        };
        if order.unit_price.currency.as_str() != currency {
            return Err(Problem::invalid(
                "amount",
                format!("the order is in {}", order.unit_price.currency.as_str()),
            ));
        }
    }
    let (order, changed) = match engine.settle(&id, outcome, message.amount.minor_units()).await? {
        Settled::Moved(order) => (order, true),
        Settled::Repeated(order) => (order, false),
        Settled::WrongAmount { due } => {
            return Err(Problem::invalid("amount", format!("the order's total is {due}")));
        }
        Settled::NotFound => return Err(unknown(&engine, &id.order.lane).await),
    };
    let state = order.state.as_str();
    Ok(Response::ok(&Received { event_id: message.event_id, order_id: order.id, state, changed }))
}

/// The problem for a payment that Redis does not have. If its whole lane is missing, we can't tell whether it exists: Redis
/// was lost and the lane is not rebuilt yet, or the sale is long over. Then the provider must try again, and the log tells
/// the operator.
async fn unknown(engine: &Engine<SharedRedis>, lane: &Lane) -> Problem {
    let asked = async {
        if matches!(engine.position(lane).await?, Position { seq: Some(_), .. }) {
            return Ok(false);
        }
        // Other items are published, but none of this name: the payment never existed.
        let published = engine.document::<Item>(lane.item.as_str()).await?.is_some();
        Ok::<_, EngineError>(published || engine.documents::<Item>().await?.is_empty())
    };
    match asked.await {
        Ok(false) => Problem::NotFound { what: "payment" },
        Ok(true) => {
            Problem::unavailable(format_args!("money for lane {lane}, which is not in Redis: reconcile"))
        }
        Err(error) => error.into(),
    }
}

/// The provider's message. Other members are refused: the adapter means something by them that we would miss.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    /// Names the event in the response. Repetitions are not told by this name but by the payment's state, which goes one
    /// way only.
    event_id: String,
    payment_id: String,
    order_id: String,
    #[serde(rename = "type")]
    kind: String,
    amount: Amount,
}

/// Minor units alone, or minor units with their currency.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    MinorUnits(i64),
    Money(Money),
}

impl Amount {
    fn minor_units(&self) -> i64 {
        match self {
            Amount::MinorUnits(amount) => *amount,
            Amount::Money(money) => money.amount,
        }
    }

    fn currency(&self) -> Option<&str> {
        match self {
            Amount::MinorUnits(_) => None,
            Amount::Money(money) => Some(money.currency.as_str()),
        }
    }
}

#[derive(Serialize)]
struct Received {
    event_id: String,
    order_id: OrderId,
    state: &'static str,
    /// False when we knew this already.
    changed: bool,
}
