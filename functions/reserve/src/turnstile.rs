//! Asks the hosted widget's own service whether a solution is right. (Kind `turnstile`: Cloudflare's `siteverify`, or a
//! service with the same interface.)

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use web::caller::address;
use web::platform::settings;
use web::shop::challenge::{WIDGET_ACTION, idempotency_key};
use web::{Problem, Request};

use crate::outside::{self, Fuse};

/// The longest solution that the widget gives, in bytes.
const LONGEST_SOLUTION: usize = 2_048;

thread_local! {
    static FUSE: Rc<Fuse> = Rc::default();
}

#[derive(Serialize)]
struct Question<'a> {
    secret: &'a str,
    response: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remoteip: Option<String>,
    /// The same for the same solution of the same challenge. The service takes each solution once; with this key we can
    /// ask again after its response was lost.
    idempotency_key: String,
}

/// The service's response. It has other members, which we ignore.
#[derive(Deserialize)]
struct Verdict {
    success: bool,
    #[serde(default)]
    action: String,
    #[serde(default)]
    cdata: String,
    #[serde(default)]
    hostname: String,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

/// Whether `solution` is the widget's right solution of the challenge `token`, whose id is `id`. If the service can't say,
/// this is `unavailable` and spends nothing: the shopper can send the same request again.
pub async fn is_good(request: &Request, token: &str, id: &str, solution: &str) -> Result<bool, Problem> {
    if solution.is_empty() || solution.len() > LONGEST_SOLUTION {
        return Ok(false);
    }
    let url = settings::required(settings::TURNSTILE_URL).await?;
    let secret = settings::required(settings::TURNSTILE_SECRET).await?;
    let hostname = settings::text(settings::TURNSTILE_HOSTNAME).await?;
    let timeout = Duration::from_millis(settings::number(settings::TURNSTILE_TIMEOUT_MS, 50, 30_000).await?);
    let question = Question {
        secret: &secret,
        response: solution,
        remoteip: address::exact(request).await?.map(|address| address.to_string()),
        idempotency_key: idempotency_key(token, solution),
    };
    let fuse = FUSE.with(Rc::clone);
    let unavailable = |cause: String| Problem::unavailable(format_args!("turnstile: {cause}"));
    let verdict = outside::ask::<Verdict>(&fuse, &url, &[], &question, timeout).await;
    verdict.map_err(|silence| unavailable(silence.to_string()))?.judged(id, &hostname).map_err(unavailable)
}

impl Verdict {
    /// Whether the solution is right; an error if the service could not judge.
    fn judged(&self, id: &str, hostname: &str) -> Result<bool, String> {
        let ours = |code: &&String| {
            matches!(
                code.as_str(),
                "missing-input-secret" | "invalid-input-secret" | "bad-request" | "internal-error"
            )
        };
        if let Some(code) = self.error_codes.iter().find(ours) {
            return Err(format!("it answered {code}"));
        }
        // The widget was told the challenge's id before the shopper solved it, so no other challenge's solution fits.
        let fits = self.action == WIDGET_ACTION && self.cdata == id;
        let here = hostname.is_empty() || self.hostname.eq_ignore_ascii_case(hostname);
        Ok(self.success && fits && here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answer: &str, hostname: &str) -> Result<bool, String> {
        serde_json::from_str::<Verdict>(answer).unwrap().judged("AbC-1", hostname)
    }

    #[test]
    fn only_a_success_for_this_challenge_and_place_is_good() {
        let good = r#"{"success":true,"error-codes":[],"challenge_ts":"2026-11-21T10:00:00Z","hostname":"shop.example",
            "action":"reserve","cdata":"AbC-1","metadata":{"interactive":false}}"#;
        assert_eq!(judged(good, ""), Ok(true));
        assert_eq!(judged(good, "Shop.example"), Ok(true));
        assert_eq!(judged(good, "other.example"), Ok(false));
        for bad in [
            good.replace("true,", "false,"),
            good.replace("AbC-1", "AbC-2"),
            good.replace("\"reserve\"", "\"login\""),
            r#"{"success":true}"#.to_owned(),
            r#"{"success":false,"error-codes":["timeout-or-duplicate"]}"#.to_owned(),
            r#"{"success":false,"error-codes":["invalid-input-response"]}"#.to_owned(),
        ] {
            assert_eq!(judged(&bad, ""), Ok(false), "{bad}");
        }
        for other in ["{}", "[]", "null", r#"{"success":"true"}"#] {
            assert!(serde_json::from_str::<Verdict>(other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_fault_of_the_shop_is_not_a_failure_of_the_shopper() {
        for code in ["missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"] {
            let answer = format!(r#"{{"success":false,"error-codes":["{code}"]}}"#);
            assert!(judged(&answer, "").unwrap_err().contains(code));
        }
    }
}
