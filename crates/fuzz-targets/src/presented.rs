//! Evidence that a caller presents: sessions, an issuer's tokens and keys, challenges, webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac as _};
use sale::ids::{ItemId, UserId};
use sale::time::Timestamp;
use sha2::Sha256;
use web::caller::jwks::Jwks;
use web::caller::jwt::{Claims, Expected, SigningKey};
use web::shop::challenge::{Challenges, Verdict};
use web::shop::payment;

use crate::texts;

const SECRET: &[u8] = b"a secret that the fuzzer does not guess";
const NOW: i64 = 1_795_255_200;
const OUR_HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn signed(header: &[u8], claims: &[u8], key: &[u8]) -> String {
    let text = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn expected() -> Expected {
    Expected { issuer: Some("issuer".to_owned()), audience: Some("us".to_owned()), leeway_seconds: 60 }
}

/// Accepted claims are in time, for us, and by this issuer, whatever else they say.
fn check_claims(claims: &Claims) {
    let _ = claims.check(&Expected::default(), i64::MIN);
    let _ = claims.check(&Expected::default(), i64::MAX);
    if claims.check(&expected(), NOW).is_ok() {
        assert!(claims.exp > NOW - 60 && claims.nbf.is_none_or(|from| from <= NOW + 60));
        assert_eq!(claims.iss.as_deref(), Some("issuer"));
        assert!(serde_json::to_string(&claims.aud).unwrap().contains("\"us\""));
    }
}

/// Texts that claim to be sessions. None is one, since we signed none.
pub fn sessions(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    assert!(SigningKey::new(SECRET).verify(text).is_err());
    let keys = Jwks::parse(&shared_key()).unwrap();
    assert!(keys.verify(text).is_err());
}

/// Header and claims of any kind with a right signature, as a careless or hostile issuer could make them.
pub fn tokens(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
    let (header, claims) = bytes.split_at(at);
    if let Ok(claims) = SigningKey::new(SECRET).verify(&signed(OUR_HEADER.as_bytes(), claims, SECRET)) {
        check_claims(&claims);
    }
    let keys = Jwks::parse(&shared_key()).unwrap();
    if let Ok(claims) = keys.verify(&signed(header, claims, SECRET)) {
        let header: serde_json::Value = serde_json::from_slice(header).expect("another parser takes it");
        assert_eq!(header["alg"], "HS256");
        assert!(header["crit"].is_null());
        check_claims(&claims);
    }
}

fn shared_key() -> String {
    let key = BASE64.encode(SECRET);
    format!(r#"{{"keys":[{{"kty":"oct","kid":"a","alg":"HS256","k":"{key}"}},{{"kty":"future"}}]}}"#)
}

/// An issuer's document. The keys in it verify nothing that they did not sign.
pub fn jwks(bytes: &[u8]) {
    let Some([document, token]) = texts::<2>(bytes) else { return };
    let Ok(keys) = Jwks::parse(document) else { return };
    let _ = keys.verify(token);
    for algorithm in ["HS256", "RS256", "ES256", "EdDSA", "none"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = signed(header.as_bytes(), br#"{"sub":"a","exp":1}"#, SECRET);
        assert!(keys.verify(&token).is_err(), "{algorithm}");
    }
}

/// Challenges that we did not issue, and one that we did issue with any solution.
pub fn challenges(bytes: &[u8]) {
    let Some([token, answer]) = texts::<2>(bytes) else { return };
    let challenges = Challenges::new(SECRET);
    let user: UserId = "u-anna".parse().unwrap();
    let item: ItemId = "iaaaaaaaaaa".parse().unwrap();
    let now = Timestamp::from_millis(NOW * 1_000);
    assert_eq!(challenges.verify(token, answer, &user, &item, now), Verdict::Forged);
    assert_eq!(challenges.verify(&BASE64.encode(token), answer, &user, &item, now), Verdict::Forged);
    let task = web::shop::challenge::Task::Pow { bits: 30 };
    let (ours, expires_at) = challenges.issue(task, &user, &item, now);
    let verdict = challenges.verify(&ours, answer, &user, &item, now);
    assert!(matches!(verdict, Verdict::WrongSolution { .. }), "{verdict:?}");
    let verdict = challenges.verify(&ours, answer, &user, &item, expires_at);
    assert!(matches!(verdict, Verdict::Expired { .. }), "{verdict:?}");
    let other: UserId = "u-bert".parse().unwrap();
    assert_eq!(challenges.verify(&ours, answer, &other, &item, now), Verdict::Forged);
}

/// A header and a body that nobody signed, and a signed body with anything after it.
pub fn webhooks(bytes: &[u8]) {
    let Some([header, body]) = texts::<2>(bytes) else { return };
    assert!(payment::verify(header, body.as_bytes(), SECRET).is_err());
    let now = Timestamp::from_millis(NOW * 1_000);
    let good = payment::sign(body.as_bytes(), SECRET, now).unwrap();
    assert_eq!(payment::verify(&good, body.as_bytes(), SECRET), Ok(now));
    let longer = format!("{body}{header}x");
    assert!(payment::verify(&good, longer.as_bytes(), SECRET).is_err());
    let _ = payment::verify(&format!("{header},{good}"), body.as_bytes(), SECRET);
    if let Ok(signed) = payment::verify(&format!("{good},{header}"), body.as_bytes(), SECRET) {
        assert_eq!(signed, now, "another time than was signed");
    }
}
