//! The demo sale, published through the public operator API, as any shop would publish its own.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::workspace::Workspace;
use crate::{console, customer};

/// An HTTP client that hands every status back as an answer.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    ureq::Agent::new_with_config(config)
}

/// Publishes demo/catalogue.json, whose format demo/README.md describes, unless the shop has a sale already.
pub fn publish_demo_unless_there_is_a_sale(
    workspace: &Workspace,
    base: &str,
    operator_token: &str,
    webhook_secret: &str,
) -> anyhow::Result<()> {
    let operator = Operator { agent: agent(), base, token: operator_token, webhook_secret };
    let existing = operator.get("/api/admin/sales")?;
    let count = existing.get("total").and_then(Value::as_u64).context("the list of sales has no total")?;
    if count > 0 {
        return Ok(());
    }

    console::step("Publishing the demo sale");
    let path = workspace.root().join("demo/catalogue.json");
    let catalogue = read(&path).with_context(|| format!("cannot use {}", path.display()))?;
    let now = OffsetDateTime::now_utc();
    for sale in array(&catalogue, "sales")? {
        publish_sale(&operator, sale, now)
            .with_context(|| format!("cannot publish the sale {}", sale["title"]))?;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

fn publish_sale(operator: &Operator<'_>, sale: &Value, now: OffsetDateTime) -> anyhow::Result<()> {
    let mut body = members(sale, &["items"])?;
    replace_seconds_by_times(&mut body, now)?;
    let created = operator.post("/api/admin/sales", &Value::Object(body))?;
    let sale_id = id(&created)?;
    for item in array(sale, "items")? {
        publish_item(operator, sale_id, item, now)
            .with_context(|| format!("cannot publish the item {}", item["title"]))?;
    }
    Ok(())
}

fn publish_item(
    operator: &Operator<'_>,
    sale_id: &str,
    item: &Value,
    now: OffsetDateTime,
) -> anyhow::Result<()> {
    let mut body = members(item, &["state"])?;
    replace_seconds_by_times(&mut body, now)?;
    let created = operator.post(&format!("/api/admin/sales/{sale_id}/items"), &Value::Object(body))?;
    let item_id = id(&created)?;
    let step = |verb: &str| operator.post(&format!("/api/admin/items/{item_id}/{verb}"), &Value::Null);

    let state = item.get("state").and_then(Value::as_str).context("the item has no `state`")?;
    if state == "draft" {
        return Ok(());
    }
    step("publish")?;
    match state {
        "upcoming" | "open" => {}
        "paused" => drop(step("pause")?),
        "ended" => drop(step("close")?),
        "sold_out" => sell_out(operator, item_id, item)?,
        other => bail!("there is no state `{other}`"),
    }
    Ok(())
}

/// Customers buy and pay for every unit. Where none can be played, because shoppers come with the shop's own tokens or
/// challenges are for people only, the seller takes back what is left.
fn sell_out(operator: &Operator<'_>, item_id: &str, item: &Value) -> anyhow::Result<()> {
    let number = |name: &str| item.get(name).and_then(Value::as_u64);
    let mut left = number("stock").context("the item has no `stock`")?;
    let limit = number("per_user_limit").unwrap_or(1).max(1);
    while left > 0 {
        let quantity = left.min(limit);
        if let Err(refusal) = customer::buy(operator.base, item_id, quantity, operator.webhook_secret) {
            console::note(&format!("The rest of the sold-out item is taken back instead: {refusal:#}"));
            let stats = operator.get(&format!("/api/admin/items/{item_id}/stats"))?;
            let count = |name: &str| stats.get(name).and_then(Value::as_u64).unwrap_or_default();
            let taken = serde_json::json!({ "total": count("total") - count("available") });
            operator.post(&format!("/api/admin/items/{item_id}/stock"), &taken)?;
            break;
        }
        left -= quantity;
    }
    wait_until_shown_sold_out(operator, item_id)
}

/// What shoppers are shown of stock is up to a second old. A newcomer's first look is to be true.
fn wait_until_shown_sold_out(operator: &Operator<'_>, item_id: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let shown = operator.get(&format!("/api/items/{item_id}"))?;
        if shown["state"] == "sold_out" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the item {item_id} is not shown as sold out although nothing is left of it")
}

fn members(object: &Value, left_out: &[&str]) -> anyhow::Result<Map<String, Value>> {
    let mut members = object.as_object().context("not an object")?.clone();
    members.retain(|name, _| !left_out.contains(&name.as_str()));
    Ok(members)
}

/// `starts_in_seconds: 60` becomes `starts_at: "…"`, a minute from now.
fn replace_seconds_by_times(body: &mut Map<String, Value>, now: OffsetDateTime) -> anyhow::Result<()> {
    for (seconds, at) in [("starts_in_seconds", "starts_at"), ("ends_in_seconds", "ends_at")] {
        if let Some(value) = body.remove(seconds) {
            let offset = value.as_i64().with_context(|| format!("`{seconds}` is not a whole number"))?;
            body.insert(at.to_owned(), Value::String(rfc3339(now + time::Duration::seconds(offset))?));
        }
    }
    Ok(())
}

fn rfc3339(moment: OffsetDateTime) -> anyhow::Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    Ok(moment.format(format)?)
}

fn array<'a>(object: &'a Value, name: &str) -> anyhow::Result<&'a Vec<Value>> {
    object.get(name).and_then(Value::as_array).with_context(|| format!("`{name}` is not a list"))
}

fn id(created: &Value) -> anyhow::Result<&str> {
    created.get("id").and_then(Value::as_str).context("the answer has no id")
}

/// The operator's side of the API.
struct Operator<'a> {
    agent: ureq::Agent,
    base: &'a str,
    token: &'a str,
    /// The demo's customers pay without a page: their provider's word is signed with it.
    webhook_secret: &'a str,
}

impl Operator<'_> {
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let answer = request.header("authorization", format!("Bearer {}", self.token)).call();
        understand("GET", path, answer)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let answer = if body.is_null() {
            request.send_empty()
        } else {
            request.header("content-type", "application/json").send(body.to_string())
        };
        understand("POST", path, answer)
    }
}

/// The answer's JSON; anything but a success is an error.
pub fn understand(
    method: &str,
    path: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<Value> {
    let mut response = answer.with_context(|| format!("{method} {path} got no answer"))?;
    let status = response.status();
    let text = response.body_mut().read_to_string().with_context(|| format!("{method} {path}"))?;
    ensure!(status.is_success(), "{method} {path} was answered {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{method} {path} was not answered in JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_from_now_become_times_with_milliseconds() {
        let mut body = members(
            &serde_json::json!({ "title": "A", "state": "open", "starts_in_seconds": -1, "ends_in_seconds": 60 }),
            &["state"],
        )
        .unwrap();
        replace_seconds_by_times(&mut body, OffsetDateTime::UNIX_EPOCH).unwrap();
        let expected = serde_json::json!({
            "title": "A", "starts_at": "1969-12-31T23:59:59.000Z", "ends_at": "1970-01-01T00:01:00.000Z"
        });
        assert_eq!(Value::Object(body), expected);
    }

    #[test]
    fn the_catalogue_of_the_demo_is_in_the_format_that_is_read_here() {
        let catalogue = read(&Workspace::find().unwrap().root().join("demo/catalogue.json")).unwrap();
        let items: Vec<&Value> = array(&catalogue, "sales")
            .unwrap()
            .iter()
            .flat_map(|sale| array(sale, "items").unwrap())
            .collect();
        assert!(items.len() >= 8, "a demo of {} items", items.len());
        let states = ["draft", "upcoming", "open", "paused", "sold_out", "ended"];
        for item in items {
            assert!(states.contains(&item["state"].as_str().unwrap()), "{}", item["state"]);
        }
    }
}
