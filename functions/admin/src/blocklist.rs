//! The blocklist, as operators keep it.

use std::collections::BTreeMap;

use sale::ids::UserId;
use sale::time::Timestamp;
use serde::Serialize;
use web::{Problem, Response, blocklist};

pub async fn show() -> Result<Response, Problem> {
    Ok(Response::ok(&Blocklist { blocked: blocklist::all().await? }))
}

#[derive(Serialize)]
struct Blocklist {
    /// `user/<id>` or `address/<ip>`, and since when.
    blocked: BTreeMap<String, String>,
}

pub async fn set(kind: &str, value: &str, blocked: bool, now: Timestamp) -> Result<Response, Problem> {
    let entry = match kind {
        "user" => {
            let user: UserId = value.parse().map_err(|_| Problem::invalid("value", "is no user's id"))?;
            blocklist::Entry::User(user)
        }
        "address" => {
            let address = value.replace("%3A", ":").replace("%3a", ":");
            let address = address.parse().map_err(|_| Problem::invalid("value", "is no IP address"))?;
            blocklist::Entry::Address(address)
        }
        _ => return Err(Problem::NotFound { what: "blocklist" }),
    };
    blocklist::set(&entry, blocked, now).await?;
    Ok(Response::no_content())
}
