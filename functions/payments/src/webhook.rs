//! The payment provider's webhook: signed, at most five minutes old, and repeated as often as the provider likes.

use hmac::{Hmac, Mac};
use sale::Engine;
use sale::ids::{OrderId, PaymentId};
use sale::money::Money;
use sale::scripts::{PaymentOutcome, Settled};
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use web::{Problem, Request, Response, SharedRedis, json, settings};

/// How far a signature's time may be from ours, in seconds, either way.
const TOLERANCE_SECONDS: i64 = 300;

/// Takes the provider's word. Answers 200 whether or not it changed something, so that the provider stops repeating it.
pub async fn receive(request: &mut Request) -> Result<Response, Problem> {
    let secret = settings::secret("payment_webhook_secret").await?;
    let signature = request.header("stampede-signature").ok_or(Problem::BadSignature)?.to_owned();
    let now = request.now();
    let body = request.body().await?;
    check(&signature, &body, secret.as_bytes(), now)?;
    let message: Message = json::parse(&body)?;
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
    let engine = Engine::new(SharedRedis);
    if let Some(currency) = message.amount.currency() {
        let (order, _) = engine.order(&id.order, None).await?.ok_or(no_payment.clone())?;
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
        Settled::NotFound => return Err(no_payment),
    };
    Ok(Response::ok(&Received { order_id: order.id, state: order.state.as_str(), changed }))
}

/// Checks `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`. One of several `v1` has to fit, so that a key can change.
fn check(header: &str, body: &[u8], secret: &[u8], now: Timestamp) -> Result<(), Problem> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => time = Some(text),
            Some(("v1", hex)) => signatures.extend(from_hex(hex)),
            _ => {}
        }
    }
    let time = time.filter(|text| !text.is_empty() && text.len() <= 12).ok_or(Problem::BadSignature)?;
    let seconds: i64 = time.parse().map_err(|_| Problem::BadSignature)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(Problem::unavailable)?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    // `verify_slice` compares in constant time.
    if !signatures.iter().any(|signature| mac.clone().verify_slice(signature).is_ok()) {
        return Err(Problem::BadSignature);
    }
    if (now.millis().div_euclid(1_000) - seconds).abs() > TOLERANCE_SECONDS {
        return Err(Problem::StaleSignature);
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// The provider's message. Providers add members of their own; those are passed over.
#[derive(Deserialize)]
struct Message {
    #[allow(dead_code, reason = "required by the contract; what is repeated is known by the payment itself")]
    event_id: String,
    payment_id: String,
    order_id: String,
    #[serde(rename = "type")]
    kind: String,
    amount: Amount,
}

/// Minor units alone, or with their currency.
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
    order_id: OrderId,
    state: &'static str,
    /// False when this was known already.
    changed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
    const BODY: &[u8] = br#"{"event_id":"e1"}"#;

    fn sign(seconds: &str, body: &[u8], secret: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
        mac.update(format!("{seconds}.").as_bytes());
        mac.update(body);
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={seconds},v1={hex}")
    }

    #[test]
    fn only_the_provider_s_own_recent_words_count() {
        let now = Timestamp::from_millis(1_795_255_200_000);
        let good = sign("1795255200", BODY, SECRET);
        assert_eq!(check(&good, BODY, SECRET, now), Ok(()));
        assert_eq!(check(&good, BODY, SECRET, now.plus_millis(300_999)), Ok(()));
        assert_eq!(check(&good, BODY, SECRET, now.plus_millis(301_000)), Err(Problem::StaleSignature));
        assert_eq!(check(&good, BODY, SECRET, now.plus_millis(-301_000)), Err(Problem::StaleSignature));
        assert_eq!(check(&good, b"{}", SECRET, now), Err(Problem::BadSignature));
        assert_eq!(
            check(&sign("1795255200", BODY, b"another secret of thirty-two bytes"), BODY, SECRET, now),
            Err(Problem::BadSignature)
        );
        let moved = good.replace("t=1795255200", "t=1795255201");
        for header in ["", "t=,v1=", "v1=00", "t=1795255200", "t=x,v1=00", &moved, &good[..good.len() - 1]] {
            assert_eq!(check(header, BODY, SECRET, now), Err(Problem::BadSignature), "{header}");
        }
        assert_eq!(check(&format!("{good},v1={}", "0".repeat(64)), BODY, SECRET, now), Ok(()));
    }
}
