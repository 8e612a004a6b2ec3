//! The rules that an operator changes while the shop runs. [`sale::rules`] says what they are.

use sale::catalogue::Item;
use sale::rules::{
    ItemRules, LaneRules, MAX_ALLOWANCE, MAX_QUEUE_FACTOR, MAX_RATE, Rules, RulesDocument, SHOP,
};
use sale::scripts::Saved;
use sale::time::Timestamp;
use sale::{Engine, work};
use serde::Serialize;
use web::caller::operator::Operator;
use web::http::etag;
use web::shop::catalogue;
use web::shop::challenge::Kind;
use web::shop::rules::tell;
use web::{FieldError, Problem, Request, Response, SharedRedis, header};

use crate::items;
use crate::sales::announced;

/// Rules as the operator sees them.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    version: u64,
    rules: &'a Rules,
    /// The values that hold now, from rules and settings. For the shop: for items without rules of their own.
    effective: Effective,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_by: Option<&'a str>,
}

#[derive(Serialize)]
struct Effective {
    challenge_kind: &'static str,
    challenge_difficulty: u8,
    #[serde(flatten)]
    limits: LaneRules,
}

pub async fn show(id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let id = known(&engine, id).await?;
    answer(&engine, &id).await
}

pub async fn change(operator: &Operator, request: &mut Request, id: &str) -> Result<Response, Problem> {
    let engine = Engine::new(SharedRedis);
    let id = known(&engine, id).await?;
    if id != SHOP {
        items::refuse_archived(&items::find(&engine, &id).await?)?;
    }
    let expected = etag::if_match(request.headers())?;
    let rules = checked(request.json().await?)?;
    let document = RulesDocument {
        id: id.clone(),
        rules,
        version: expected + 1,
        changed_at: Some(request.now()),
        changed_by: Some(operator.name().to_owned()),
    };
    let engine = engine.making(&operator.change("rules.change", format!("rules/{id}")));
    match engine.save_document(&document, expected).await? {
        Saved::Done => {}
        Saved::VersionMismatch { current } => {
            return Err(Problem::VersionMismatch { current: Some(current) });
        }
        // Rules belong to no sale.
        Saved::NoSale => return Err(Problem::unavailable("rules were refused like an item")),
    }
    // The saved rules hold. If a lane could not be told now, the next tick tells it.
    announced(apply(&engine, &id).await);
    answer(&engine, &id).await
}

/// The id of the shop's or an item's rules.
async fn known(engine: &Engine<SharedRedis>, id: &str) -> Result<String, Problem> {
    if id == SHOP {
        return Ok(SHOP.to_owned());
    }
    items::find(engine, id).await.map(|item| item.id.to_string())
}

async fn answer(engine: &Engine<SharedRedis>, id: &str) -> Result<Response, Problem> {
    let ItemRules { shop, item } = engine.rules_of(id).await?;
    let (document, merged) =
        if id == SHOP { (&shop, shop.rules.clone()) } else { (&item, item.rules.clone().or(&shop.rules)) };
    let (kind, difficulty) = web::shop::rules::challenge(&merged).await?;
    let effective = Effective {
        challenge_kind: kind.as_str(),
        challenge_difficulty: difficulty,
        limits: web::shop::rules::usual_limits().await?.under(&merged),
    };
    let shown = Shown {
        id,
        version: document.version,
        rules: &document.rules,
        effective,
        changed_at: document.changed_at,
        changed_by: document.changed_by.as_deref(),
    };
    Ok(Response::ok(&shown).header(header::ETAG, &etag::of_version(document.version)))
}

/// Tells the lanes that the rules concern, and renews the item's snapshot.
async fn apply(engine: &Engine<SharedRedis>, id: &str) -> Result<(), Problem> {
    if id == SHOP {
        let lanes = work::lanes(engine).await?;
        tell(engine, &lanes).await?;
    } else if let Some(item) = engine.document::<Item>(id).await?.filter(|item| item.published) {
        tell(engine, &items::lanes(&item).collect::<Vec<_>>()).await?;
        catalogue::announce_item(&item.id).await?;
    }
    Ok(())
}

fn checked(rules: Rules) -> Result<Rules, Problem> {
    let mut errors = Vec::new();
    let mut within = |field: &'static str, value: Option<u32>, least: u32, most: u32| {
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            errors.push(FieldError::new(field, format!("must be a whole number from {least} to {most}")));
        }
    };
    within("challenge_difficulty", rules.challenge_difficulty.map(u32::from), 0, 30);
    within("tries_per_ten_seconds", rules.tries_per_ten_seconds, 0, MAX_ALLOWANCE);
    within("address_tries_per_ten_seconds", rules.address_tries_per_ten_seconds, 0, MAX_ALLOWANCE);
    within("polls_per_ten_seconds", rules.polls_per_ten_seconds, 0, MAX_ALLOWANCE);
    within("polls_per_second", rules.polls_per_second, 1, MAX_RATE);
    within("units_per_second", rules.units_per_second, 0, MAX_RATE);
    within("queue_factor", rules.queue_factor, 1, MAX_QUEUE_FACTOR);
    if let Some(word) = &rules.challenge_kind
        && !word.parse::<Kind>().is_ok_and(|kind| kind != Kind::Off)
    {
        let message = "must be a kind of challenge; whether there is one at all is a setting";
        errors.push(FieldError::new("challenge_kind", message));
    }
    if errors.is_empty() { Ok(rules) } else { Err(Problem::Invalid { fields: errors }) }
}
