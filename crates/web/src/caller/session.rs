//! Sessions: a bearer token or a cookie says which shopper sends a request.
//!
//! A session is a signed token, and nothing about it is stored. A guest gets one from `POST /api/session`, signed with
//! the setting `session_secret`. With `auth_mode=jwt` shoppers bring tokens that the shop signed, and no others are
//! accepted.

use std::cell::RefCell;
use std::rc::Rc;
use std::str::FromStr;

use http::header;
use sale::ids::UserId;
use sale::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::caller::jwks::Jwks;
use crate::caller::jwt::{Audience, Claims, Expected, InvalidToken, SigningKey};
use crate::caller::page;
use crate::http::headers::{self, Headers};
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::trace;
use crate::platform::{random, settings};

/// The cookie that carries a session.
pub const COOKIE: &str = "stampede_session";

/// How long a guest's session lasts without a visit, in seconds. A guest must be able to look at their orders until
/// they are delivered.
const LIFETIME_SECONDS: i64 = 30 * 24 * 3600;

/// How far an issuer's clock may be from ours, in seconds.
const LEEWAY_SECONDS: i64 = 60;

/// The audience of our session tokens. A token that the same secret signs for another use has another audience.
const AUDIENCE: &str = "stampede-session";

/// The setting `auth_mode`: where shoppers get their sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// `POST /api/session` opens one for anybody.
    Guest,
    /// Shoppers bring a token that the shop signed.
    Jwt,
}

impl FromStr for AuthMode {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "guest" => Ok(Self::Guest),
            "jwt" => Ok(Self::Jwt),
            _ => Err("guest or jwt"),
        }
    }
}

/// A verified session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The shopper.
    pub user: UserId,
    /// When the token expires.
    pub expires_at: Timestamp,
}

/// The shopper who sent `request`, or `unauthorized`.
pub async fn user(request: &Request) -> Result<UserId, Problem> {
    present(request).await?.map(|session| session.user).ok_or(Problem::Unauthorized {
        detail: "This call needs a session: a bearer token or the session cookie",
    })
}

/// The session that `request` brings, if it brings one. A session that is not valid is refused as `unauthorized`.
pub async fn present(request: &Request) -> Result<Option<Session>, Problem> {
    let Some((token, carrier)) = token_of(request.headers())? else { return Ok(None) };
    if carrier == Carrier::Cookie {
        page::require_own_for_cookie(request).await?;
    }
    let verifier = verifier().await?;
    let refused = Problem::Unauthorized { detail: "The session's token is not valid, or no longer" };
    verifier.session(token, request.now()).map(Some).map_err(|InvalidToken| refused)
}

/// Opens a guest session for `user`, or for a new shopper. Returns it with its token.
pub async fn open_guest(user: Option<UserId>, now: Timestamp) -> Result<(Session, String), Problem> {
    let key = SigningKey::new(settings::secret(settings::SESSION_SECRET).await?.as_bytes());
    let user = user.unwrap_or_else(|| UserId::guest(random::bytes()));
    sign_guest(&key, user, now).map_err(|InvalidToken| Problem::unavailable("a session can't be signed"))
}

fn sign_guest(key: &SigningKey, user: UserId, now: Timestamp) -> Result<(Session, String), InvalidToken> {
    let issued = now.millis().div_euclid(1_000);
    let expires = issued + LIFETIME_SECONDS;
    let claims = Claims {
        sub: user.to_string(),
        exp: expires,
        iat: Some(issued),
        nbf: None,
        iss: None,
        aud: Some(Audience::One(AUDIENCE.to_owned())),
    };
    let token = key.sign(&claims)?;
    Ok((Session { user, expires_at: Timestamp::from_millis(expires * 1_000) }, token))
}

/// Adds the session's cookie to `response`.
#[must_use]
pub fn with_cookie(response: Response, token: &str, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={token}; Path=/; Max-Age={LIFETIME_SECONDS}; HttpOnly; SameSite=Lax{secure}");
    response.header(header::SET_COOKIE, &cookie)
}

/// Checks tokens, by the setting `auth_mode`. Each instance makes one.
enum Verifier {
    Guest(SigningKey),
    Jwt(Jwks, Expected),
}

impl Verifier {
    fn session(&self, token: &str, now: Timestamp) -> Result<Session, InvalidToken> {
        let now = now.millis().div_euclid(1_000);
        match self {
            Self::Guest(key) => {
                let claims = key.verify(token)?;
                let expected = Expected { audience: Some(AUDIENCE.to_owned()), ..Expected::default() };
                claims.check(&expected, now)?;
                session_of(&claims)
            }
            Self::Jwt(keys, expected) => {
                let claims = keys.verify(token)?;
                claims.check(expected, now)?;
                session_of(&claims)
            }
        }
    }
}

fn session_of(claims: &Claims) -> Result<Session, InvalidToken> {
    if claims.sub.is_empty() {
        return Err(InvalidToken);
    }
    let expires_at = Timestamp::from_millis(claims.exp.saturating_mul(1_000)).min(Timestamp::MAX);
    Ok(Session { user: user_of(&claims.sub)?, expires_at })
}

/// The prefix of a user id that is a digest of the issuer's own name for the user.
const DIGESTED: &str = "x-";

/// The user id for an issuer's `subject`: the subject itself where a user id may have its form, else a digest of it.
fn user_of(subject: &str) -> Result<UserId, InvalidToken> {
    // A subject in our digest form is digested again; otherwise a caller could impersonate the user with that digest.
    if !subject.starts_with(DIGESTED)
        && let Ok(user) = subject.parse()
    {
        return Ok(user);
    }
    let digest = Sha256::digest(subject.as_bytes());
    format!("{DIGESTED}{}", trace::hex(&digest[..16])).parse().map_err(|_| InvalidToken)
}

async fn verifier() -> Result<Rc<Verifier>, Problem> {
    thread_local! {
        static VERIFIER: RefCell<Option<Rc<Verifier>>> = const { RefCell::new(None) };
    }
    if let Some(verifier) = VERIFIER.with_borrow(Clone::clone) {
        return Ok(verifier);
    }
    let verifier = Rc::new(match settings::get(settings::AUTH_MODE).await? {
        AuthMode::Guest => {
            Verifier::Guest(SigningKey::new(settings::secret(settings::SESSION_SECRET).await?.as_bytes()))
        }
        AuthMode::Jwt => {
            let keys = Jwks::parse(&settings::text(settings::JWKS).await?)
                .map_err(|error| settings::unavailable(settings::JWKS, format_args!("must be {error}")))?;
            let required = |text: Rc<str>| (!text.is_empty()).then(|| text.to_string());
            let expected = Expected {
                issuer: required(settings::text(settings::JWT_ISSUER).await?),
                audience: required(settings::text(settings::JWT_AUDIENCE).await?),
                leeway_seconds: LEEWAY_SECONDS,
            };
            Verifier::Jwt(keys, expected)
        }
    });
    VERIFIER.set(Some(verifier.clone()));
    Ok(verifier)
}

/// Where a request carries its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Header,
    Cookie,
}

/// The token in the `Authorization` header, else in the cookie.
fn token_of(headers: &Headers) -> Result<Option<(&str, Carrier)>, Problem> {
    let refused = || Problem::Unauthorized { detail: "Authorization must be Bearer and a token" };
    let mut authorizations = headers.all(header::AUTHORIZATION.as_str());
    if let Some(authorization) = authorizations.next() {
        let text = headers::text(authorization).ok_or_else(refused)?;
        let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") || authorizations.next().is_some() {
            return Err(refused());
        }
        return Ok(Some((token.trim(), Carrier::Header)));
    }
    Ok(headers
        .texts(header::COOKIE.as_str())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, token)| (token, Carrier::Cookie)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_255_200_000);

    fn guest(secret: &[u8]) -> Verifier {
        Verifier::Guest(SigningKey::new(secret))
    }

    fn token(secret: &[u8]) -> String {
        sign_guest(&SigningKey::new(secret), "u-anna".parse().unwrap(), NOW).unwrap().1
    }

    #[test]
    fn a_token_names_its_guest_until_it_expires() {
        let (session, token) = sign_guest(&SigningKey::new(b"one"), "u-anna".parse().unwrap(), NOW).unwrap();
        assert_eq!(guest(b"one").session(&token, NOW), Ok(session.clone()));
        assert_eq!(session.expires_at.since(NOW), LIFETIME_SECONDS * 1_000);
        assert!(guest(b"one").session(&token, session.expires_at).is_err());
        assert!(guest(b"two").session(&token, NOW).is_err());
    }

    #[test]
    fn no_piece_or_change_of_a_token_is_one() {
        let good = token(b"one");
        for at in 0..good.len() {
            assert!(guest(b"one").session(&good[..at], NOW).is_err(), "cut at {at}");
            let mut changed = good.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(guest(b"one").session(&changed, NOW).is_err(), "changed at {at}");
        }
        let parts: Vec<&str> = good.split('.').collect();
        let none = "eyJhbGciOiJub25lIn0";
        for other in [
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{good}.x"),
        ] {
            assert!(guest(b"one").session(&other, NOW).is_err(), "{other}");
        }
    }

    #[test]
    fn a_token_for_something_else_is_no_session() {
        let key = SigningKey::new(b"one");
        let claims = |audience: Option<&str>| Claims {
            sub: "u-anna".to_owned(),
            exp: i64::MAX,
            iat: None,
            nbf: None,
            iss: None,
            aud: audience.map(|audience| Audience::One(audience.to_owned())),
        };
        for other in [None, Some("stampede-refund"), Some("")] {
            let token = key.sign(&claims(other)).unwrap();
            assert!(guest(b"one").session(&token, NOW).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_foreign_name_that_could_confuse_a_record_becomes_a_digest() {
        assert_eq!(user_of("anna@example.com").unwrap().as_str(), "anna@example.com");
        let strange = user_of("anna|1\r\n{x}:lane").unwrap();
        assert!(strange.as_str().starts_with("x-") && strange.as_str().len() == 34);
        assert_ne!(strange, user_of("anna|2").unwrap());
        // A subject that equals the digest is another user.
        assert_ne!(user_of(strange.as_str()).unwrap(), strange);
        let empty = Claims { sub: String::new(), exp: 1, iat: None, nbf: None, iss: None, aud: None };
        assert!(session_of(&empty).is_err());
    }

    #[test]
    fn the_header_goes_before_the_cookie_and_a_broken_one_is_refused() {
        let both = Headers::from([("authorization", "bearer one"), ("cookie", "stampede_session=two")]);
        assert_eq!(token_of(&both), Ok(Some(("one", Carrier::Header))));
        let cookies = Headers::from([
            ("cookie", "a=b; stampede_session=two; xstampede_session=three"),
            ("cookie", "c=d"),
        ]);
        assert_eq!(token_of(&cookies), Ok(Some(("two", Carrier::Cookie))));
        assert_eq!(token_of(&Headers::from([("cookie", "stampede_session=")])), Ok(None));
        assert_eq!(token_of(&Headers::from([])), Ok(None));
        for bad in ["Basic dXNlcg==", "one", "Bearer"] {
            assert!(token_of(&Headers::from([("authorization", bad)])).is_err(), "{bad}");
        }
        assert!(
            token_of(&Headers::from([("authorization", "Bearer a"), ("authorization", "Bearer b")])).is_err()
        );
    }
}
