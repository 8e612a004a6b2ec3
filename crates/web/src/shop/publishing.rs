//! What publishing needs of the settings and rules, for the operator's calls and for ticks.

use sale::Engine;
use sale::catalogue::{Item, Sale};
use sale::item::Terms;
use sale::publishing::{self, Marker};
use sale::rules::VersionedRules;

use crate::http::problem::Problem;
use crate::platform::redis::SharedRedis;
use crate::platform::settings;
use crate::shop::rules;

/// What the lane needs of the item, the rules and the settings.
pub async fn terms(engine: &Engine<SharedRedis>, item: &Item) -> Result<Terms, Problem> {
    let millis = async |setting| {
        let seconds = settings::number(setting, 1, 366 * 86_400).await?;
        Ok::<_, Problem>(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000) * 1_000)
    };
    let rules = engine.rules_of(item.id.as_str()).await?;
    Ok(Terms {
        version: item.version,
        starts_at: item.starts_at,
        ends_at: item.ends_at,
        per_user_limit: item.per_user_limit,
        mode: item.mode,
        price: item.sale_price.clone(),
        hold_ms: millis(settings::HOLD_SECONDS).await?,
        pay_ms: millis(settings::PAY_SECONDS).await?,
        rules: VersionedRules::of(&rules, rules::usual_limits().await?),
        retention_ms: millis(settings::RETENTION_SECONDS).await?,
    })
}

/// Takes the steps that calls of publishing and changing left out because they died. Returns how many documents reached
/// their lanes.
pub async fn finish_all(engine: &Engine<SharedRedis>) -> Result<u64, Problem> {
    let mut finished = 0;
    for marker in publishing::unfinished(engine).await? {
        finished += u64::from(finish(engine, &marker).await?);
    }
    Ok(finished)
}

async fn finish(engine: &Engine<SharedRedis>, marker: &Marker) -> Result<bool, Problem> {
    let item: Option<Item> = engine.document(marker.item.as_str()).await?;
    let Some(item) = item.filter(|item| item.published) else {
        publishing::unmark(engine, marker).await?;
        return Ok(false);
    };
    let sale: Option<Sale> = engine.document(item.sale_id.as_str()).await?;
    let sale = sale.ok_or_else(|| Problem::unavailable(format_args!("item {} has no sale", item.id)))?;
    publishing::finish(engine, marker, &item, &sale, &terms(engine, &item).await?).await?;
    Ok(true)
}
