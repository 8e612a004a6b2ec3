//! What an attacker tries, from outside, against the running system. Nothing gets through, no input brings a 5xx of its
//! own, and nobody learns of another shopper, in the logs neither. Tables: a line is an attack.

/// Wrong, shared, repeated and early challenges.
mod challenges;
/// Ten thousand sessions from one address.
mod crowds;
/// What another site's page can make a browser do, and what somebody without the operator's token can.
mod pages;
/// Every id of another shopper.
mod strangers;
/// Sessions that nobody was given.
mod tokens;
/// What is left behind: logs, Redis, key-value.
mod traces;
/// Webhooks that the provider did not send, or not now.
mod webhooks;
/// HTTP that no browser speaks.
mod wire;
/// Characters that mean something to somebody, in every field and id.
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// HMAC-SHA256, which forgers can do as well as anybody.
fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
