//! Asks the hosted widget's own service whether an answer is good. (Kind `turnstile`: Cloudflare's `siteverify`, or a
//! service that speaks as it does.)

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use web::caller::address;
use web::platform::settings;
use web::shop::challenge::{WIDGET_ACTION, idempotency_key};
use web::{Problem, Request};

use crate::outside::{self, Fuse};

/// The longest answer that the widget gives.
const LONGEST_ANSWER: usize = 2_048;

thread_local! {
    static FUSE: Rc<Fuse> = Rc::default();
}

#[derive(Serialize)]
struct Question<'a> {
    secret: &'a str,
    response: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    remoteip: Option<String>,
    /// The same for the same answer to the same challenge: an answer that got lost on the way can be asked for again,
    /// although the service takes each of the widget's answers once.
    idempotency_key: String,
}

/// What the service says; more than this is its own affair.
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

/// Whether `answer` is the widget's good answer to the challenge `token`, whose id is `id`. While the service can't say,
/// that is `unavailable`, and nothing is used up: the same request can be sent again.
pub async fn is_good(request: &Request, token: &str, id: &str, answer: &str) -> Result<bool, Problem> {
    if answer.is_empty() || answer.len() > LONGEST_ANSWER {
        return Ok(false);
    }
    let url = settings::required(settings::TURNSTILE_URL).await?;
    let secret = settings::required(settings::TURNSTILE_SECRET).await?;
    let hostname = settings::text(settings::TURNSTILE_HOSTNAME).await?;
    let limit = Duration::from_millis(settings::number(settings::TURNSTILE_TIMEOUT_MS, 50, 30_000).await?);
    let question = Question {
        secret: &secret,
        response: answer,
        remoteip: address::exact(request).await?.map(|address| address.to_string()),
        idempotency_key: idempotency_key(token, answer),
    };
    let fuse = FUSE.with(Rc::clone);
    let unavailable = |cause: String| Problem::unavailable(format_args!("turnstile: {cause}"));
    let verdict = outside::ask::<Verdict>(&fuse, &url, &[], &question, limit).await;
    verdict.map_err(|silence| unavailable(silence.to_string()))?.judged(id, &hostname).map_err(unavailable)
}

impl Verdict {
    /// An error where the service could not judge.
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
        // The widget was told the challenge's id before it was solved: nobody else's answer fits.
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
    fn what_is_wrong_with_the_shop_is_not_the_shopper_s_failure() {
        for code in ["missing-input-secret", "invalid-input-secret", "bad-request", "internal-error"] {
            let answer = format!(r#"{{"success":false,"error-codes":["{code}"]}}"#);
            assert!(judged(&answer, "").unwrap_err().contains(code));
        }
    }
}
