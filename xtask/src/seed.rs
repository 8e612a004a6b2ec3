//! Publishes the demo sale through the public operator API, as any shop would publish its own.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::workspace::Workspace;
use crate::{console, customer};

/// An HTTP client that returns a response for every status, also for errors.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build();
    ureq::Agent::new_with_config(config)
}

/// Publishes demo/catalogue.json, unless the shop already has a sale. demo/README.md describes the format.
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
    replace_seconds_with_times(&mut body, now)?;
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
    replace_seconds_with_times(&mut body, now)?;
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

/// Buys and pays for every unit as customers. This fails if shoppers need tokens of the shop's own issuer, or if
/// challenges are for people only. Then the seller removes the remaining units from sale instead.
fn sell_out(operator: &Operator<'_>, item_id: &str, item: &Value) -> anyhow::Result<()> {
    let number = |name: &str| item.get(name).and_then(Value::as_u64);
    let mut left = number("stock").context("the item has no `stock`")?;
    let cap = number("per_user_limit").unwrap_or(1).max(1);
    while left > 0 {
        let quantity = left.min(cap);
        if let Err(refusal) = customer::buy(operator.base, item_id, quantity, operator.webhook_secret) {
            console::note(&format!(
                "The rest of the sold-out item is removed from sale instead: {refusal:#}"
            ));
            let stats = operator.get(&format!("/api/admin/items/{item_id}/stats"))?;
            let count = |name: &str| stats.get(name).and_then(Value::as_u64).unwrap_or_default();
            let reduced = serde_json::json!({ "total": count("total") - count("available") });
            operator.post(&format!("/api/admin/items/{item_id}/stock"), &reduced)?;
            break;
        }
        left -= quantity;
    }
    wait_until_shown_sold_out(operator, item_id)
}

/// Shoppers see a stock that is up to a second old. A newcomer should see the right one from the start.
fn wait_until_shown_sold_out(operator: &Operator<'_>, item_id: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let shown = operator.get(&format!("/api/items/{item_id}"))?;
        if shown["state"] == "sold_out" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the item {item_id} has no units left, but is not shown as sold out")
}

fn members(object: &Value, left_out: &[&str]) -> anyhow::Result<Map<String, Value>> {
    let mut members = object.as_object().context("not an object")?.clone();
    members.retain(|name, _| !left_out.contains(&name.as_str()));
    Ok(members)
}

/// Replaces `starts_in_seconds: 60` by `starts_at: "…"`, a minute from now.
fn replace_seconds_with_times(body: &mut Map<String, Value>, now: OffsetDateTime) -> anyhow::Result<()> {
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
    created.get("id").and_then(Value::as_str).context("the response has no id")
}

/// A client of the operator's API.
struct Operator<'a> {
    agent: ureq::Agent,
    base: &'a str,
    token: &'a str,
    /// Signs the webhook that reports the payment of a demo customer, who pays without a payment page.
    webhook_secret: &'a str,
}

impl Operator<'_> {
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let response = request.header("authorization", format!("Bearer {}", self.token)).call();
        json_of("GET", path, response)
    }

    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let response = if body.is_null() {
            request.send_empty()
        } else {
            request.header("content-type", "application/json").send(body.to_string())
        };
        json_of("POST", path, response)
    }
}

/// Reads the JSON of a response. Any status but a success is an error.
pub fn json_of(
    method: &str,
    path: &str,
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> anyhow::Result<Value> {
    let mut response = response.with_context(|| format!("{method} {path} got no response"))?;
    let status = response.status();
    let text = response.body_mut().read_to_string().with_context(|| format!("{method} {path}"))?;
    ensure!(status.is_success(), "{method} {path} returned {status}: {text}");
    serde_json::from_str(&text)
        .with_context(|| format!("{method} {path} returned something that is not JSON"))
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
        replace_seconds_with_times(&mut body, OffsetDateTime::UNIX_EPOCH).unwrap();
        let expected = serde_json::json!({
            "title": "A", "starts_at": "1969-12-31T23:59:59.000Z", "ends_at": "1970-01-01T00:01:00.000Z"
        });
        assert_eq!(Value::Object(body), expected);
    }

    #[test]
    fn the_demo_catalogue_has_the_format_that_is_read_here() {
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
