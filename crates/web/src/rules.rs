//! The deployment's settings where no operator has set a rule: [`sale::rules`] says what a rule is.

use std::collections::HashMap;

use sale::Engine;
use sale::ids::Lane;
use sale::rules::{
    ItemRules, LaneRules, MAX_ALLOWANCE, MAX_QUEUE_FACTOR, MAX_RATE, Rules, RulesDocument, SHOP, VersionedRules,
};
use sale::scripts::EngineError;

use crate::challenge::Kind;
use crate::problem::Problem;
use crate::redis::SharedRedis;
use crate::settings;

/// The limits that hold where no rule says otherwise.
pub async fn usual_limits() -> Result<LaneRules, Problem> {
    let number = async |name, least: u64, most: u32| {
        let number = settings::number(name, least, u64::from(most)).await?;
        Ok::<_, Problem>(u32::try_from(number).unwrap_or(most))
    };
    Ok(LaneRules {
        tries_per_ten_seconds: number("tries_per_ten_seconds", 0, MAX_ALLOWANCE).await?,
        address_tries_per_ten_seconds: number("address_tries_per_ten_seconds", 0, MAX_ALLOWANCE).await?,
        polls_per_ten_seconds: number("polls_per_ten_seconds", 0, MAX_ALLOWANCE).await?,
        polls_per_second: number("polls_per_second", 1, MAX_RATE).await?,
        units_per_second: number("units_per_second", 0, MAX_RATE).await?,
        queue_factor: number("queue_factor", 1, MAX_QUEUE_FACTOR).await?,
        paused: false,
    })
}

/// Which challenge is asked for under `rules`, and how hard it is in the kind's own measure.
///
/// Rules choose among the kinds; whether there is a challenge at all is the setting's to say, since `reserve`, which
/// reads no snapshot, goes by that.
pub async fn challenge(rules: &Rules) -> Result<(Kind, u8), Problem> {
    let set = settings::get::<Kind>("captcha_kind").await?;
    let ruled = rules.challenge_kind.as_deref().and_then(|word| word.parse().ok());
    let kind = ruled.filter(|kind| *kind != Kind::Off && set != Kind::Off).unwrap_or(set);
    let difficulty = match rules.challenge_difficulty {
        Some(difficulty) => difficulty,
        // The setting speaks of the kind that is set beside it.
        None if kind != set => 0,
        None => u8::try_from(settings::number("captcha_difficulty", 0, 255).await?).unwrap_or(0),
    };
    Ok((kind, kind.difficulty(difficulty)))
}

/// Gives `lanes` the limits that follow from the rules and the settings as they are now.
pub async fn tell(engine: &Engine<SharedRedis>, lanes: &[Lane]) -> Result<(), Problem> {
    let usual = usual_limits().await?;
    let mut documents: HashMap<String, RulesDocument> = engine
        .documents::<RulesDocument>()
        .await?
        .into_iter()
        .map(|document| (document.id.clone(), document))
        .collect();
    let shop = documents.remove(SHOP).unwrap_or_else(|| RulesDocument::none(SHOP));
    for lane in lanes {
        let id = lane.item.as_str();
        let item = documents.get(id).cloned().unwrap_or_else(|| RulesDocument::none(id));
        let rules = ItemRules { shop: shop.clone(), item };
        engine.apply_rules(lane, &VersionedRules::of(&rules, usual)).await.map_err(|error: EngineError| {
            Problem::unavailable(format_args!("limits of lane {lane}: {error}"))
        })?;
    }
    Ok(())
}
