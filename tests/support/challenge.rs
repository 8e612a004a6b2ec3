//! Solves challenges with the shop's own key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The characters that pictures have.
const ALPHABET: &[u8; 16] = b"ACEHJKLMRTUX2369";

/// The id in a challenge's token.
fn id_of_challenge(token: &str) -> [u8; 9] {
    let bytes = URL_SAFE_NO_PAD.decode(token).expect("a token is base64url");
    bytes[11..20].try_into().expect("nine bytes are nine")
}

/// The text in a picture, found by trying every text. That takes the shop's own key, which no shopper has.
pub fn read_picture(session_secret: &str, token: &str) -> String {
    let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("a key may have any length");
    let key =
        keyed(session_secret.as_bytes()).chain_update("stampede challenge answer").finalize().into_bytes();
    let token_bytes = URL_SAFE_NO_PAD.decode(token).expect("a token is base64url");
    let (characters, digest) = (u32::from(token_bytes[2]), &token_bytes[20..36]);
    let about_this = keyed(&key).chain_update(id_of_challenge(token));
    (0..16u64.pow(characters))
        .map(|number| {
            (0..characters).map(|at| ALPHABET[(number >> (4 * at) & 15) as usize] as char).collect()
        })
        .find(|text: &String| about_this.clone().chain_update(text).finalize().into_bytes()[..16] == *digest)
        .expect("some text fits")
}
