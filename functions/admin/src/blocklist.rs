//! The blocklist: operators read and change it.

use sale::ids::UserId;
use sale::scripts::Blocked;
use sale::time::Timestamp;
use serde::{Deserialize, Serialize};
use web::caller::operator::Operator;
use web::shop::blocklist;
use web::{Problem, Request, Response};

/// The longest reason for a block, in characters.
const MOST_REASON: usize = 200;

/// One entry of the blocklist.
#[derive(Serialize)]
struct Line {
    kind: &'static str,
    /// The user's id, the address, or the network. An IPv6 address stands for its /64.
    value: String,
    since: Timestamp,
    by: String,
    reason: String,
}

#[derive(Serialize)]
struct Blocklist {
    blocked: Vec<Line>,
}

pub async fn show() -> Result<Response, Problem> {
    let lines = blocklist::all().await?.into_iter().filter_map(|entry| {
        let (kind, value) = entry.who.split_once('/')?;
        let kind = if kind == "user" { "user" } else { "address" };
        Some(Line { kind, value: value.to_owned(), since: entry.since, by: entry.by, reason: entry.reason })
    });
    Ok(Response::ok(&Blocklist { blocked: lines.collect() }))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    reason: String,
}

pub async fn block(
    operator: &Operator,
    request: &mut Request,
    kind: &str,
    value: &str,
) -> Result<Response, Problem> {
    let who = who(kind, value)?;
    let Body { reason } = request.json_if_any().await?.unwrap_or_default();
    if reason.chars().count() > MOST_REASON || reason.chars().any(char::is_control) {
        let message = format!("may have at most {MOST_REASON} characters, none of control");
        return Err(Problem::invalid("reason", message));
    }
    match blocklist::block(operator, &who, &reason).await? {
        Blocked::Done => Ok(Response::no_content()),
        Blocked::Full => Err(Problem::conflict("The blocklist is full; block networks instead of addresses")),
    }
}

pub async fn unblock(operator: &Operator, kind: &str, value: &str) -> Result<Response, Problem> {
    blocklist::unblock(operator, &who(kind, value)?).await?;
    Ok(Response::no_content())
}

fn who(kind: &str, value: &str) -> Result<blocklist::Entry, Problem> {
    match kind {
        "user" => {
            let user: UserId = value
                .replace("%3A", ":")
                .replace("%3a", ":")
                .replace("%40", "@")
                .parse()
                .map_err(|_| Problem::invalid("value", "is no user's id"))?;
            Ok(blocklist::Entry::User(user))
        }
        "address" => {
            let text = value.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/");
            let network = text.parse().map_err(|_| {
                Problem::invalid("value", "is no IP address, nor a network such as 192.0.2.0%2F24")
            })?;
            Ok(blocklist::Entry::Address(network))
        }
        _ => Err(Problem::NotFound { what: "blocklist" }),
    }
}
