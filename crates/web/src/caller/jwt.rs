//! JSON Web Tokens, as far as we need them: the compact form, one signature, no encryption.
//!
//! A key knows its algorithm, so a token can't choose one. No key has the algorithm `none`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// The most bytes of a token. Neither we nor a sensible issuer makes longer ones, and each byte costs us hashing.
const LONGEST: usize = 8 * 1024;

/// `{"alg":"HS256","typ":"JWT"}`: the header of every token that we sign.
const OUR_HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The token is not valid. It does not say why: a forger must not learn it, and an honest caller needs a new token
/// anyway.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidToken;

/// What a token claims about its bearer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// Expiry, in seconds since 1970. A token without it is refused; we never make one.
    pub exp: i64,
    /// When it was issued, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// The start of its validity, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Its issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// The audience that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
}

/// One audience or several.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Audience {
    fn includes(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// What a token needs besides a valid signature.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The issuer, where one is required.
    pub issuer: Option<String>,
    /// An audience that must be among the token's, where one is required.
    pub audience: Option<String>,
    /// How far the issuer's clock may be from ours, in seconds.
    pub leeway_seconds: i64,
}

impl Claims {
    /// Whether they hold at `now`, in seconds since 1970.
    pub fn check(&self, expected: &Expected, now: i64) -> Result<(), InvalidToken> {
        let in_time = self.exp > now.saturating_sub(expected.leeway_seconds)
            && self.nbf.is_none_or(|from| from <= now.saturating_add(expected.leeway_seconds));
        let issuer_fits =
            expected.issuer.as_ref().is_none_or(|issuer| self.iss.as_deref() == Some(issuer.as_str()));
        let audience_fits = expected
            .audience
            .as_ref()
            .is_none_or(|audience| self.aud.as_ref().is_some_and(|all| all.includes(audience)));
        if in_time && issuer_fits && audience_fits { Ok(()) } else { Err(InvalidToken) }
    }
}

/// The key that signs our own tokens, prepared once.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// A key from a secret.
    pub fn new(secret: &[u8]) -> Self {
        // HMAC takes a key of any length.
        #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// Signs `claims` with HS256.
    pub fn sign(&self, claims: &Claims) -> Result<String, InvalidToken> {
        let claims = serde_json::to_vec(claims).map_err(|_| InvalidToken)?;
        let mut token = format!("{OUR_HEADER}.{}", BASE64.encode(claims));
        let signature = self.0.clone().chain_update(token.as_bytes()).finalize().into_bytes();
        token.push('.');
        token.push_str(&BASE64.encode(signature));
        Ok(token)
    }

    /// The claims of a token of our own, if we signed it. Times and audience are for [`Claims::check`].
    pub fn verify(&self, token: &str) -> Result<Claims, InvalidToken> {
        let parts = Parts::split(token)?;
        // All our tokens have the same header, so there is nothing to parse and no algorithm to choose.
        if parts.header != OUR_HEADER {
            return Err(InvalidToken);
        }
        if !self.is_signature(parts.signed.as_bytes(), &decode(parts.signature)?) {
            return Err(InvalidToken);
        }
        parts.claims()
    }

    /// Whether this key made `signature` over `signed`. Compares the full length in constant time.
    pub(crate) fn is_signature(&self, signed: &[u8], signature: &[u8]) -> bool {
        self.0.clone().chain_update(signed).verify_slice(signature).is_ok()
    }
}

/// A token's three parts, still encoded.
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a str,
    pub(crate) claims: &'a str,
    pub(crate) signature: &'a str,
    /// The part that is signed: header and claims with their dot.
    pub(crate) signed: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn split(token: &'a str) -> Result<Self, InvalidToken> {
        if token.len() > LONGEST {
            return Err(InvalidToken);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken)?;
        let (header, claims) = signed.split_once('.').ok_or(InvalidToken)?;
        if claims.contains('.') {
            return Err(InvalidToken);
        }
        Ok(Self { header, claims, signature, signed })
    }

    pub(crate) fn claims(&self) -> Result<Claims, InvalidToken> {
        serde_json::from_slice(&decode(self.claims)?).map_err(|_| InvalidToken)
    }
}

/// Base64url without padding, and only in its one canonical spelling.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, InvalidToken> {
    BASE64.decode(text).map_err(|_| InvalidToken)
}
