//! The operator: a caller with the token in the setting `admin_token`, and their name in the shop's log. Also readers of
//! the metrics, who may have a token of their own.

use http::header;
use sale::Engine;
use sale::allowance::Counted;
use sale::change::Change;
use sale::rules::MAX_ALLOWANCE;
use sale::scripts::Spent;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::caller::allowances;
use crate::http::headers;
use crate::http::problem::Problem;
use crate::http::request::Request;
use crate::http::trace::hex;
use crate::platform::redis::SharedRedis;
use crate::platform::settings;

/// The header that names one of several people who share the token.
const X_OPERATOR: &str = "x-operator";
/// The most characters that the name may have.
const MOST_NAME: usize = 64;
/// The fewest characters of the token in `metrics_token`. It reads counts and changes nothing.
const METRICS_TOKEN_LENGTH: usize = 16;
const NAME_RULE: &str = "must be 1 to 64 letters, digits, spaces or ._@+-";

/// A caller who sent the operator's token.
#[derive(Debug, Clone)]
pub struct Operator {
    name: String,
    token: String,
    request_id: String,
}

impl Operator {
    /// The name that they gave; `operator` if they gave none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name `given` in a request's body, or else their own.
    pub fn name_or(&self, given: Option<String>) -> Result<String, Problem> {
        match given {
            None => Ok(self.name.clone()),
            Some(name) if is_name(&name) => Ok(name),
            Some(_) => Err(Problem::invalid("by", NAME_RULE)),
        }
    }

    /// A change that they are about to make, for the log.
    pub fn change(&self, action: &str, target: impl Into<String>) -> Change {
        Change {
            operator: self.name.clone(),
            token: self.token.clone(),
            action: action.to_owned(),
            target: target.into(),
            request_id: self.request_id.clone(),
            reason: None,
        }
    }

    /// An engine that logs its steps as this change by this operator.
    pub fn engine(&self, action: &str, target: impl Into<String>) -> Engine<SharedRedis> {
        Engine::new(SharedRedis).making(&self.change(action, target))
    }
}

/// The operator who sent `request`; any other caller is refused.
pub async fn check(request: &Request) -> Result<Operator, Problem> {
    let token = settings::secret(settings::ADMIN_TOKEN).await?;
    if !bears(request.header(header::AUTHORIZATION).unwrap_or_default(), &token) {
        return Err(refusal(request, "This call needs the operator's bearer token").await);
    }
    let name = match request.headers().get(X_OPERATOR) {
        None => "operator",
        Some(name) => headers::text(name)
            .filter(|name| is_name(name))
            .ok_or_else(|| Problem::invalid(X_OPERATOR, NAME_RULE))?,
    };
    Ok(Operator {
        name: name.to_owned(),
        token: fingerprint(&token),
        request_id: request.request_id().to_owned(),
    })
}

/// Refuses a caller who may not read the metrics. If `metrics_token` is set, a reader needs that token or the operator's.
pub async fn check_reader_of_metrics(request: &Request) -> Result<(), Problem> {
    let Some(token) = settings::secret_if_any(settings::METRICS_TOKEN, METRICS_TOKEN_LENGTH).await? else {
        return Ok(());
    };
    let operators = settings::secret(settings::ADMIN_TOKEN).await?;
    let given = request.header(header::AUTHORIZATION).unwrap_or_default();
    // Both are compared every time, so the time does not tell them apart.
    if bears(given, &token) | bears(given, &operators) {
        return Ok(());
    }
    Err(refusal(request, "The metrics need the bearer token of their readers, or the operator's").await)
}

/// The refusal of a wrong token: `unauthorized`, or `rate-limited` once its address has sent too many in a minute.
///
/// The right token is not counted and always passes, so nobody can lock the operator out. If failures can't be counted,
/// a wrong token is refused all the same.
async fn refusal(request: &Request, detail: &'static str) -> Problem {
    let refused = Problem::Unauthorized { detail };
    // A call without any token guesses nothing.
    if request.headers().get(header::AUTHORIZATION.as_str()).is_none() {
        return refused;
    }
    let most = settings::number(settings::OPERATOR_FAILURES_PER_MINUTE, 0, u64::from(MAX_ALLOWANCE)).await;
    let (Ok(Some(address)), Ok(most)) = (allowances::caller(request).await, most) else { return refused };
    let most = u32::try_from(most).unwrap_or(MAX_ALLOWANCE);
    match Engine::new(SharedRedis).count_operator_failure(&address, most).await {
        Ok(Counted { outcome: Spent::RateLimited { retry_after_ms }, .. }) => {
            Problem::RateLimited { retry_after_ms }
        }
        _ => refused,
    }
}

/// Compares digests in constant time, so the time reveals neither the token's content nor its length.
fn bears(authorization: &str, token: &str) -> bool {
    let Some((scheme, given)) = authorization.split_once(' ') else { return false };
    let same = Sha256::digest(given.trim().as_bytes()).ct_eq(&Sha256::digest(token.as_bytes()));
    scheme.eq_ignore_ascii_case("bearer") && bool::from(same)
}

/// A short digest of the token. It tells tokens apart in the log, for instance after a change of token, and does not
/// help to guess one.
fn fingerprint(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes())[..4])
}

fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b" ._@+-".contains(&byte);
    (1..=MOST_NAME).contains(&text.len()) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_opens() {
        let token = "an operator's token of 32 characters";
        assert!(bears(&format!("Bearer {token}"), token));
        assert!(bears(&format!("bearer  {token} "), token));
        for wrong in ["", "Bearer", "Bearer ", token, &format!("Basic {token}"), &format!("Bearer {token}x")]
        {
            assert!(!bears(wrong, token), "{wrong}");
        }
        assert!(!bears(&format!("Bearer {}", &token[1..]), token));
    }

    #[test]
    fn a_name_is_plain() {
        for name in ["anna", "Anna B.", "anna+shop@example.org", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a\"b", "a\nb", "安娜", "a/b", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_fingerprint_is_short_and_of_one_token() {
        assert_eq!(fingerprint("one").len(), 8);
        assert_ne!(fingerprint("one"), fingerprint("two"));
    }
}
