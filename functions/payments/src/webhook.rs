//! The payment provider's webhook. It must be signed and at most five minutes old, and may be repeated any number of times.

use order_ledger::rebuild::{Standing, standing};
use order_ledger::refunds::{self, Reason, Unmatched};
use order_ledger::{copy_success, read, recorded, spin};
use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::money::{Currency, Money};
use sale::order::OrderState;
use sale::payment::PaymentState;
use sale::scripts::{PaymentOutcome, Settled};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::http::json;
use web::platform::settings;
use web::shop::payment::{SIGNATURE, check_age, verify};
use web::{Problem, Request, Response, SharedRedis, header};

/// Copies of 250 events each that one webhook makes at most, to get its own event recorded.
const COPY_BATCHES: u32 = 8;
/// The longest name of an event, in characters.
const MOST_EVENT_ID: usize = 255;

/// Records how a payment went. Responds with 200 even if nothing changed or matched, so that the provider stops repeating it.
pub async fn receive(request: &mut Request) -> Result<Response, Problem> {
    let secret = settings::secret(settings::PAYMENT_WEBHOOK_SECRET).await?;
    let signature = request.header(SIGNATURE).ok_or(Problem::BadSignature)?.to_owned();
    let body = request.body().await?;
    let signed = verify(&signature, &body, secret.as_bytes())?;
    let engine = Engine::new(SharedRedis);
    // By Redis's clock: if this machine's clock were an hour wrong, every webhook would be refused.
    let now = engine.time().await?;
    check_age(signed, now)?;
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
    let received = match find(&engine, &message, outcome).await? {
        Match::Order { payment, state, changed } => {
            if outcome == PaymentOutcome::Succeeded {
                record(&engine, &payment).await?;
            }
            Received {
                event_id: message.event_id,
                changed,
                order_id: Some(payment.order),
                state: Some(state),
                unmatched: None,
            }
        }
        Match::Nothing { reason, currency } => {
            let changed = outcome == PaymentOutcome::Succeeded
                && give_back(request, &message, reason, currency, now).await?;
            Received {
                event_id: message.event_id,
                changed,
                order_id: None,
                state: None,
                unmatched: Some(reason),
            }
        }
    };
    Ok(Response::ok(&received))
}

/// What a message is about.
enum Match {
    /// A payment of an order, which is now in `state`.
    Order { payment: PaymentId, state: OrderState, changed: bool },
    /// No payment of ours. `currency` is that of the order, if there is one.
    Nothing { reason: Reason, currency: Option<Currency> },
}

/// Finds the payment that a message is about, and records how it went.
async fn find(
    engine: &Engine<SharedRedis>,
    message: &Message,
    outcome: PaymentOutcome,
) -> Result<Match, Problem> {
    let nothing = |reason| Ok(Match::Nothing { reason, currency: None });
    let Ok(id) = message.payment_id.parse::<PaymentId>() else { return nothing(Reason::UnknownPayment) };
    if message.order_id.parse().ok().as_ref() != Some(&id.order) {
        return nothing(Reason::OtherOrder);
    }
    if let Some(found) = find_in_redis(engine, &id, outcome, &message.amount).await? {
        return Ok(found);
    }
    let sql = spin::open().await?;
    let standing = standing(engine, &sql, &id.order.lane).await?;
    // A rebuild may have ended between the two looks, so the script looks again.
    if standing == Standing::Sound
        && let Some(found) = find_in_redis(engine, &id, outcome, &message.amount).await?
    {
        return Ok(found);
    }

    let payment = read::payment(&sql, &id).await?;
    let order = read::order(&sql, &id.order).await?;
    let currency = order.as_ref().map(|order| order.unit_price.currency);
    if let (Some(payment), Some(order)) = (&payment, &order) {
        if !message.amount.is(&payment.amount) {
            return Ok(Match::Nothing { reason: Reason::WrongAmount, currency });
        }
        // The sale has left Redis, and the provider repeats what is recorded.
        if matches!(payment.state, PaymentState::Succeeded | PaymentState::RefundDue | PaymentState::Refunded)
        {
            return Ok(Match::Order { payment: id, state: order.state, changed: false });
        }
    }
    let reason = match standing {
        Standing::Sound if engine.order(&id.order, None).await?.is_some() => Reason::UnknownPayment,
        Standing::Sound if order.is_none() => Reason::UnknownOrder,
        // The order may come back, so the provider must try again. The log tells the operator.
        Standing::Sound | Standing::Lost | Standing::Behind | Standing::Rebuilding => {
            let lane = &id.order.lane;
            return Err(Problem::unavailable(format_args!(
                "money for lane {lane}, which is not in Redis or behind: reconcile"
            )));
        }
        Standing::Gone if order.is_some() => Reason::SaleOver,
        Standing::Gone if recorded::latest_offer(&sql, &id.order.lane).await?.is_some() => Reason::SaleOver,
        Standing::Gone => Reason::UnknownOrder,
    };
    Ok(Match::Nothing { reason, currency })
}

/// Finds the payment in Redis, and records how it went. Nothing if Redis does not have it.
async fn find_in_redis(
    engine: &Engine<SharedRedis>,
    id: &PaymentId,
    outcome: PaymentOutcome,
    amount: &Amount,
) -> Result<Option<Match>, Problem> {
    let currency = async || {
        let order = engine.order(&id.order, None).await?;
        Ok::<_, Problem>(order.map(|(order, _)| order.unit_price.currency))
    };
    let wrong = |currency| Ok(Some(Match::Nothing { reason: Reason::WrongAmount, currency }));
    if let Some(told) = amount.currency() {
        match currency().await? {
            None => return Ok(None),
            Some(known) if known != told => return wrong(Some(known)),
            Some(_) => {}
        }
    }
    let found = |state, changed| Ok(Some(Match::Order { payment: id.clone(), state, changed }));
    match engine.settle(id, outcome, amount.minor_units()).await? {
        Settled::Moved(order) => found(order.state, true),
        Settled::Repeated(order) => found(order.state, false),
        Settled::WrongAmount { .. } => wrong(currency().await?),
        Settled::NotFound => Ok(None),
    }
}

/// Makes sure that the order database has a payment's success.
///
/// Redis may lose what it wrote last: with `appendfsync everysec` up to two seconds of it, even if only its process dies.
/// A provider that got a 200 never repeats its message. So it gets one only if the money is in the database, from which
/// a lane that forgot it is rebuilt.
async fn record(engine: &Engine<SharedRedis>, payment: &PaymentId) -> Result<(), Problem> {
    let sql = spin::open().await?;
    if copy_success(engine, &sql, payment, COPY_BATCHES).await? {
        return Ok(());
    }
    Err(Problem::unavailable(format_args!("the order database does not have {payment} yet")))
}

/// Records money that matches no payment, for good, so that an operator gives it back. Returns whether it was new.
///
/// This happens before the response: the provider repeats its message until the record is there.
async fn give_back(
    request: &Request,
    message: &Message,
    reason: Reason,
    order_currency: Option<Currency>,
    now: Timestamp,
) -> Result<bool, Problem> {
    if message.amount.minor_units() <= 0 {
        return Err(Problem::invalid("amount", "is no payment's amount, and there is nothing to give back"));
    }
    let unmatched = Unmatched {
        payment_id: &message.payment_id,
        order_id: &message.order_id,
        event_id: &message.event_id,
        amount: message.amount.minor_units(),
        currency: message.amount.currency(),
        order_currency,
        reason,
        came_at: now,
    };
    let new = refunds::record_unmatched(&spin::open().await?, &unmatched).await?;
    if new {
        let cause = format!("refund {}: money that matches no payment ({})", unmatched.id(), reason.as_str());
        web::warn("payments", request, &cause);
    }
    Ok(new)
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

    fn currency(&self) -> Option<Currency> {
        match self {
            Amount::MinorUnits(_) => None,
            Amount::Money(money) => Some(money.currency),
        }
    }

    /// Whether this is `money`. Minor units alone are of its currency.
    fn is(&self, money: &Money) -> bool {
        self.minor_units() == money.amount && self.currency().is_none_or(|told| told == money.currency)
    }
}

#[derive(Serialize)]
struct Received {
    event_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<OrderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<OrderState>,
    /// False when we knew this already.
    changed: bool,
    /// Why the message matches no payment. Its money, if any came, goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    unmatched: Option<Reason>,
}
