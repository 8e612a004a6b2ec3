//! Who calls: sessions from a bearer token or a cookie.
//!
//! A session is a signed token and lives nowhere else. Guests get theirs from `POST /api/session`, signed by
//! `session_secret`. With `auth_mode=jwt` shoppers bring the shop's own tokens, and only those are taken.

use std::cell::RefCell;
use std::rc::Rc;
use std::str::FromStr;

use http::{Method, header};
use sale::ids::UserId;
use sale::time::Timestamp;
use sha2::{Digest, Sha256};

use crate::jwt::{Audience, Claims, Expected, InvalidToken, SigningKey};
use crate::problem::Problem;
use crate::request::Request;
use crate::response::Response;
use crate::{random, settings, trace};

/// The cookie that carries a session.
pub const COOKIE: &str = "stampede_session";

/// How long a guest stays the same person without coming back: long enough to see one's orders delivered, in seconds.
const LIFETIME_SECONDS: i64 = 30 * 24 * 3600;

/// Sets our session tokens apart from any other that the same secret might sign.
const AUDIENCE: &str = "stampede-session";

/// Where shoppers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// `POST /api/session` makes them.
    Guest,
    /// They bring the shop's own token.
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
    /// When the token stops to be good.
    pub expires_at: Timestamp,
}

/// The shopper who sent `request`, or `unauthorized`.
pub async fn user(request: &Request) -> Result<UserId, Problem> {
    present(request).await?.map(|session| session.user).ok_or(Problem::Unauthorized {
        detail: "This call needs a session: a bearer token or the session cookie",
    })
}

/// The session that `request` brings, if it brings one. One that is not good is `unauthorized`, not ignored.
pub async fn present(request: &Request) -> Result<Option<Session>, Problem> {
    let Some((token, carrier)) = token_of(request.headers())? else { return Ok(None) };
    if carrier == Carrier::Cookie {
        require_own_page(request).await?;
    }
    let verifier = verifier().await?;
    let refused = Problem::Unauthorized { detail: "The session's token is not valid, or no longer" };
    verifier.session(token, request.now()).map(Some).map_err(|InvalidToken| refused)
}

/// A fresh guest session, for `user` or for somebody new.
pub async fn open_guest(user: Option<UserId>, now: Timestamp) -> Result<(Session, String), Problem> {
    let key = SigningKey::new(settings::secret("session_secret").await?.as_bytes());
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

/// Whether the shopper's browser speaks TLS, to us or to a trusted proxy in front.
pub async fn is_behind_tls(request: &Request) -> bool {
    let by_proxy = settings::switch("trust_proxy").await.unwrap_or(false)
        && last_of(request.header("x-forwarded-proto"))
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    by_proxy || request.header("spin-full-url").is_some_and(|url| url.starts_with("https://"))
}

/// What checks tokens, made once an instance.
enum Verifier {
    Guest(SigningKey),
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

/// The issuer's name for a user where it is harmless in a record, else a digest of it.
fn user_of(subject: &str) -> Result<UserId, InvalidToken> {
    if let Ok(user) = subject.parse() {
        return Ok(user);
    }
    let digest = Sha256::digest(subject.as_bytes());
    format!("x-{}", trace::hex(&digest[..16])).parse().map_err(|_| InvalidToken)
}

async fn verifier() -> Result<Rc<Verifier>, Problem> {
    thread_local! {
        static VERIFIER: RefCell<Option<Rc<Verifier>>> = const { RefCell::new(None) };
    }
    if let Some(verifier) = VERIFIER.with_borrow(Clone::clone) {
        return Ok(verifier);
    }
    let verifier = Rc::new(match settings::get("auth_mode").await? {
        AuthMode::Guest => {
            Verifier::Guest(SigningKey::new(settings::secret("session_secret").await?.as_bytes()))
        }
        AuthMode::Jwt => return Err(Problem::unavailable("auth_mode=jwt is not supported yet")),
    });
    VERIFIER.set(Some(verifier.clone()));
    Ok(verifier)
}

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Header,
    Cookie,
}

/// The token in the `Authorization` header, else in the cookie.
fn token_of(headers: &http::HeaderMap) -> Result<Option<(&str, Carrier)>, Problem> {
    let refused = || Problem::Unauthorized { detail: "Authorization must be Bearer and a token" };
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let text = authorization.to_str().map_err(|_| refused())?;
        let (scheme, token) = text.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer")
            || headers.get_all(header::AUTHORIZATION).iter().count() != 1
        {
            return Err(refused());
        }
        return Ok(Some((token.trim(), Carrier::Header)));
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    Ok(cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty())
        .map(|(_, token)| (token, Carrier::Cookie)))
}

/// Refuses a change that a page of another site asks for. Reading is harmless: no other site may read the answer.
/// A client that sends neither header is no browser of this decade, and SameSite=Lax still stands.
pub async fn require_own_page(request: &Request) -> Result<(), Problem> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let forwarded = match settings::switch("trust_proxy").await {
        Ok(true) => last_of(request.header("x-forwarded-host")),
        _ => None,
    };
    let host = forwarded.or_else(|| request.authority());
    if is_own_page(request.header(header::ORIGIN), request.header("sec-fetch-site"), host) {
        return Ok(());
    }
    Err(Problem::Unauthorized { detail: "A page of another site can't do this" })
}

fn is_own_page(origin: Option<&str>, fetch_site: Option<&str>, host: Option<&str>) -> bool {
    let site_fits = fetch_site.is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin_fits = origin.is_none_or(|origin| {
        origin.split_once("://").is_some_and(|(scheme, authority)| {
            matches!(scheme, "http" | "https")
                && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
        })
    });
    site_fits && origin_fits
}

/// The entry of a list header that the nearest proxy added.
pub(crate) fn last_of(list: Option<&str>) -> Option<&str> {
    list.and_then(|list| list.rsplit(',').next()).map(str::trim).filter(|entry| !entry.is_empty())
}
