//! The operator's own risk hook, asked by HTTP before a reservation is admitted. Off unless `risk_url` is set.
//! docs/operations.md describes the question and the response.

use std::rc::Rc;
use std::str::FromStr;
use std::time::Duration;

use sale::ids::{ItemId, UserId};
use serde::{Deserialize, Serialize};
use web::caller::address;
use web::header::{self, HeaderName};
use web::platform::settings;
use web::{Problem, Request};

use crate::outside::{self, Fuse, Silence};

/// How many characters of the user agent the hook is told.
const USER_AGENT_LENGTH: usize = 256;

thread_local! {
    static FUSE: Rc<Fuse> = Rc::default();
}

#[derive(Serialize)]
struct Question<'a> {
    user_id: &'a UserId,
    item_id: &'a ItemId,
    quantity: u32,
    address: Option<String>,
    user_agent: Option<String>,
    request_id: &'a str,
}

/// The hook's response. It may have other members, which we ignore.
#[derive(Deserialize)]
struct Answer {
    decision: Decision,
}

/// What the hook says about a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    Allow,
    Refuse,
}

impl FromStr for Decision {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "allow" => Ok(Self::Allow),
            "refuse" => Ok(Self::Refuse),
            _ => Err("allow or refuse"),
        }
    }
}

/// Whether the shop has a hook.
pub async fn is_set() -> Result<bool, Problem> {
    Ok(!settings::text(settings::RISK_URL).await?.is_empty())
}

/// Asks the hook. If it fails, `risk_on_failure` decides: every shopper is let through, or every shopper gets
/// `unavailable`, since it is not their fault.
pub async fn decide(
    request: &Request,
    user: &UserId,
    item: &ItemId,
    quantity: u32,
) -> Result<Decision, Problem> {
    let url = settings::required(settings::RISK_URL).await?;
    let token = settings::text(settings::RISK_TOKEN).await?;
    let on_failure: Decision = settings::get(settings::RISK_ON_FAILURE).await?;
    let timeout = Duration::from_millis(settings::number(settings::RISK_TIMEOUT_MS, 10, 10_000).await?);
    let question = Question {
        user_id: user,
        item_id: item,
        quantity,
        address: address::exact(request).await?.map(|address| address.to_string()),
        user_agent: request
            .header(header::USER_AGENT)
            .map(|agent| agent.chars().take(USER_AGENT_LENGTH).collect()),
        request_id: request.request_id(),
    };
    let bearer = format!("Bearer {token}");
    let mut headers = vec![(HeaderName::from_static("x-request-id"), request.request_id())];
    if !token.is_empty() {
        headers.push((header::AUTHORIZATION, &*bearer));
    }
    let fuse = FUSE.with(Rc::clone);
    match outside::ask::<Answer>(&fuse, &url, &headers, &question, timeout).await {
        Ok(answer) => Ok(answer.decision),
        Err(silence) if on_failure == Decision::Refuse => {
            Err(Problem::unavailable(format_args!("risk hook: {silence}")))
        }
        Err(silence) => {
            // Logged once for each question that failed, not for each shopper of a crowd.
            if silence != Silence::Resting {
                web::warn("reserve", request, &format!("risk hook: {silence}; the shopper is let through"));
            }
            Ok(Decision::Allow)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_says_neither_is_none() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).ok().map(|answer| answer.decision);
        assert_eq!(read(r#"{"decision":"allow","score":0.1}"#), Some(Decision::Allow));
        assert_eq!(read(r#"{"decision":"refuse","reason":"seen before"}"#), Some(Decision::Refuse));
        for other in [r#"{"decision":"maybe"}"#, r#"{"decision":true}"#, "{}", "[]", ""] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
