//! Payments: the provider that is set, the signature of a webhook, and the webhooks that the simulated provider still
//! owes.

use std::str::FromStr;
use std::time::Duration;

use hmac::{Hmac, Mac};
use http::HeaderName;
use sale::scripts::EngineError;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::http::problem::Problem;
use crate::platform::outbound;
use crate::platform::settings;

/// The header that carries a webhook's signature.
pub const SIGNATURE: HeaderName = HeaderName::from_static("stampede-signature");
/// How far a signature's time may be from ours in either direction, in seconds.
const TOLERANCE_SECONDS: i64 = 300;

/// The provider: the setting `payment_provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentProvider {
    /// The simulated provider: on its page a person chooses how the payment goes. No money moves.
    Simulated,
    /// An adapter of a real provider: it has its own page, and calls our webhook.
    Webhook,
}

impl PaymentProvider {
    /// The one that is set.
    pub async fn chosen() -> Result<Self, Problem> {
        settings::get(settings::PAYMENT_PROVIDER).await
    }
}

impl FromStr for PaymentProvider {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "simulated" => Ok(Self::Simulated),
            "webhook" => Ok(Self::Webhook),
            _ => Err("simulated or webhook"),
        }
    }
}

/// The outcome of one round of the simulated provider's webhooks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Webhooks that the shop accepted.
    pub delivered: u64,
    /// Webhooks that the shop refused for good.
    pub refused: u64,
    /// Webhooks that will be tried again.
    pub failed: u64,
}

/// Makes the simulated provider send the webhooks that are due, if it is the provider that is set.
///
/// `is_due` says whether any webhook is due. Only that function has the key that signs them, so this asks it by a request
/// to the application at `origin`. `patience` is the timeout of the request; the function goes on without us.
pub async fn remind_provider(
    is_due: impl AsyncFnOnce() -> Result<bool, EngineError>,
    origin: &str,
    patience: Duration,
) -> Result<Round, Problem> {
    let simulated = PaymentProvider::chosen().await? == PaymentProvider::Simulated;
    if !simulated || !is_due().await? {
        return Ok(Round::default());
    }
    let url = format!("{}/pay/deliveries", origin.trim_end_matches('/'));
    match outbound::post(&url, &[], "", patience).await {
        Ok(answer) if answer.status.is_success() => {
            serde_json::from_slice(&answer.body).map_err(Problem::unavailable)
        }
        Ok(answer) => Err(Problem::unavailable(format_args!("{url} answered {}", answer.status))),
        Err(cause) => Err(Problem::unavailable(format_args!("{url}: {cause}"))),
    }
}

/// The signature of `body` at this moment: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`.
pub fn sign(body: &[u8], secret: &[u8], now: Timestamp) -> Result<String, Problem> {
    let time = now.millis().div_euclid(1_000).to_string();
    let digest = code(&time, body, secret)?.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("t={time},v1={hex}"))
}

/// Checks a signature, and returns when it was made. One of several `v1` must fit, so that a key can be changed.
pub fn verify(header: &str, body: &[u8], secret: &[u8]) -> Result<Timestamp, Problem> {
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
    let code = code(time, body, secret)?;
    // `verify_slice` compares in constant time.
    if !signatures.iter().any(|signature| code.clone().verify_slice(signature).is_ok()) {
        return Err(Problem::BadSignature);
    }
    // At most twelve digits, so nothing overflows.
    Ok(Timestamp::from_millis(seconds * 1_000))
}

/// Refuses a signature that was made more than five minutes before or after `now`.
pub fn check_age(signed: Timestamp, now: Timestamp) -> Result<(), Problem> {
    let seconds = now.millis().div_euclid(1_000) - signed.millis().div_euclid(1_000);
    if seconds.abs() > TOLERANCE_SECONDS { Err(Problem::StaleSignature) } else { Ok(()) }
}

fn code(time: &str, body: &[u8], secret: &[u8]) -> Result<Hmac<Sha256>, Problem> {
    let mut code = Hmac::<Sha256>::new_from_slice(secret).map_err(Problem::unavailable)?;
    code.update(time.as_bytes());
    code.update(b".");
    code.update(body);
    Ok(code)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    // Digits only: the parser below would take a sign.
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
    const BODY: &[u8] = br#"{"event_id":"e1"}"#;

    #[test]
    fn only_recent_signatures_of_the_provider_are_accepted() {
        let now = Timestamp::from_millis(1_795_255_200_000);
        let good = sign(BODY, SECRET, now).unwrap();
        assert!(good.starts_with("t=1795255200,v1="), "{good}");
        assert_eq!(verify(&good, BODY, SECRET), Ok(now));
        assert_eq!(verify(&good, b"{}", SECRET), Err(Problem::BadSignature));
        for (later_ms, outcome) in [
            (0, Ok(())),
            (300_999, Ok(())),
            (301_000, Err(Problem::StaleSignature)),
            (-300_000, Ok(())),
            (-301_000, Err(Problem::StaleSignature)),
        ] {
            assert_eq!(check_age(now, now.plus_millis(later_ms)), outcome, "{later_ms}");
        }
        let forged = sign(BODY, b"another secret of thirty-two bytes", now).unwrap();
        assert_eq!(verify(&forged, BODY, SECRET), Err(Problem::BadSignature));
        let moved = good.replace("t=1795255200", "t=1795255201");
        for header in ["", "t=,v1=", "v1=00", "t=1795255200", "t=x,v1=00", &moved, &good[..good.len() - 1]] {
            assert_eq!(verify(header, BODY, SECRET), Err(Problem::BadSignature), "{header}");
        }
        assert_eq!(verify(&format!("{good},v1={}", "0".repeat(64)), BODY, SECRET), Ok(now));
        let largest = sign(BODY, SECRET, Timestamp::from_millis(999_999_999_999_000)).unwrap();
        assert!(verify(&largest, BODY, SECRET).is_ok());
    }

    #[test]
    fn there_are_two_providers() {
        assert_eq!("simulated".parse(), Ok(PaymentProvider::Simulated));
        assert_eq!("webhook".parse(), Ok(PaymentProvider::Webhook));
        for other in ["", "Simulated", "stripe"] {
            assert!(other.parse::<PaymentProvider>().is_err(), "{other}");
        }
    }
}
