//! Another library signed the tokens of vectors.json. The private keys were thrown away.

use super::*;
use crate::caller::jwt::Expected;
use serde_json::Value;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn keys() -> Jwks {
    Jwks::parse(&vectors()["jwks"].to_string()).unwrap()
}

fn token(name: &str) -> String {
    vectors()["tokens"][name].as_str().unwrap_or_else(|| panic!("no token {name}")).to_owned()
}

const GOOD: [&str; 7] = ["rsa2048", "rsa3072", "rsa4096", "ec", "ed", "shared", "rsa2048_without_kid"];

#[test]
fn a_valid_token_of_every_algorithm_is_accepted() {
    let keys = keys();
    for name in GOOD {
        let claims = keys.verify(&token(name)).unwrap_or_else(|_| panic!("{name}"));
        assert_eq!(claims.sub, "anna@example.com");
    }
}

#[test]
fn a_changed_token_is_refused() {
    let keys = keys();
    for name in GOOD {
        let good = token(name);
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let bytes = BASE64.decode(signature).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                keys.verify(&format!("{signed}.{}", BASE64.encode(changed))).is_err(),
                "{name}, byte {at}"
            );
        }
        let (header, claims) = signed.split_once('.').unwrap();
        let other =
            BASE64.encode(String::from_utf8(BASE64.decode(claims).unwrap()).unwrap().replace("anna", "bert"));
        for text in [
            format!("{header}.{other}.{signature}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}"),
            format!("{good}.{signature}"),
            format!("{good}="),
            good[..good.len() - 4].to_owned(),
            format!("{header}.{claims}.{}", BASE64.encode([bytes.as_slice(), &[0]].concat())),
        ] {
            assert!(keys.verify(&text).is_err(), "{name}: {text}");
        }
    }
}

#[test]
fn no_header_turns_one_key_into_another() {
    let keys = keys();
    for name in [
        "confused_pem",
        "confused_modulus",
        "rsa2048_sha512",
        "critical",
        "other_type",
        "other_kid",
        "ec_in_der",
        "ec_zero",
        "unsigned_none",
        "unsigned_None",
        "unsigned_NONE",
        "unsigned_",
    ] {
        assert!(keys.verify(&token(name)).is_err(), "{name}");
    }
}

#[test]
fn a_key_that_is_taken_away_no_longer_counts() {
    let mut document = vectors()["jwks"].clone();
    let all = document["keys"].as_array().unwrap().clone();
    document["keys"] = all.iter().filter(|key| key["kid"] != "ec").cloned().collect();
    let rotated = Jwks::parse(&document.to_string()).unwrap();
    assert!(rotated.verify(&token("ec")).is_err());
    assert!(rotated.verify(&token("ed")).is_ok());
}

#[test]
fn keys_of_other_kinds_are_passed_over_and_none_at_all_is_an_error() {
    assert_eq!(keys().keys.len(), 6);
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"keys":[]}"#,
        r#"{"keys":[{"kty":"future"}]}"#,
        r#"{"keys":[{"kty":"oct","k":"c2hvcnQ"}]}"#,
    ] {
        assert!(Jwks::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn issuer_audience_and_times_are_checked() {
    let claims = keys().verify(&token("ed")).unwrap();
    let expected = |issuer: &str, audience: &str| Expected {
        issuer: (!issuer.is_empty()).then(|| issuer.to_owned()),
        audience: (!audience.is_empty()).then(|| audience.to_owned()),
        leeway_seconds: 60,
    };
    let now = 1_800_000_000;
    assert!(claims.check(&expected("https://shop.example", "stampede"), now).is_ok());
    assert!(claims.check(&expected("", ""), now).is_ok());
    assert!(claims.check(&expected("https://other.example", "stampede"), now).is_err());
    assert!(claims.check(&expected("", "stamped"), now).is_err());
    assert!(claims.check(&expected("", ""), 4_102_444_800 + 59).is_ok());
    assert!(claims.check(&expected("", ""), 4_102_444_800 + 60).is_err());
    assert!(claims.check(&expected("", ""), 1_700_000_000 - 61).is_err());
}
