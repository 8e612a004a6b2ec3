//! Attacks from outside on the running system. Nothing gets through, and no input causes a 5xx. Nobody learns of another
//! shopper, in the logs neither. Most tests are tables with one attack a line.

/// Wrong, shared, repeated and early challenges.
mod challenges;
/// Ten thousand sessions from one address.
mod crowds;
/// Pages of another site that use a browser, and callers without the operator's token.
mod pages;
/// Every id of another shopper.
mod strangers;
/// Sessions that nobody was given.
mod tokens;
/// Traces of a purchase in logs, Redis and key-value.
pub mod traces;
/// Webhooks that the provider did not send, or not now.
mod webhooks;
/// HTTP that no browser speaks.
mod wire;
/// Characters with a special meaning in some language, in every field and id.
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// HMAC-SHA256, which forgers can compute too.
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
