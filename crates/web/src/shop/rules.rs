//! Rules and settings: an operator's rule ([`sale::rules`]) comes first, and the deployment's setting where there is
//! none.

use sale::Engine;
use sale::ids::Lane;
use sale::rules::{
    ItemRules, LaneRules, MAX_ALLOWANCE, MAX_QUEUE_FACTOR, MAX_RATE, Rules, RulesDocument, SHOP,
    VersionedRules,
};
use sale::scripts::EngineError;

use crate::http::problem::Problem;
use crate::platform::redis::SharedRedis;
use crate::platform::settings;
use crate::shop::challenge::Kind;

/// What holds where no rule says otherwise: the settings.
pub async fn usual_limits() -> Result<LaneRules, Problem> {
    let number = async |setting, least: u64, most: u32| {
        let number = settings::number(setting, least, u64::from(most)).await?;
        Ok::<_, Problem>(u32::try_from(number).unwrap_or(most))
    };
    Ok(LaneRules {
        tries_per_ten_seconds: number(settings::TRIES_PER_TEN_SECONDS, 0, MAX_ALLOWANCE).await?,
        address_tries_per_ten_seconds: number(settings::ADDRESS_TRIES_PER_TEN_SECONDS, 0, MAX_ALLOWANCE)
            .await?,
        polls_per_ten_seconds: number(settings::POLLS_PER_TEN_SECONDS, 0, MAX_ALLOWANCE).await?,
        polls_per_second: number(settings::POLLS_PER_SECOND, 1, MAX_RATE).await?,
        units_per_second: number(settings::UNITS_PER_SECOND, 0, MAX_RATE).await?,
        queue_factor: number(settings::QUEUE_FACTOR, 1, MAX_QUEUE_FACTOR).await?,
        paused: false,
    })
}

/// The kind of challenge under `rules`, and its difficulty in the kind's own measure.
///
/// Rules choose among the kinds. Only the setting `captcha_kind` says whether there is a challenge at all: `reserve`
/// reads no snapshot, so it knows the setting only.
pub async fn challenge(rules: &Rules) -> Result<(Kind, u8), Problem> {
    let set = settings::get::<Kind>(settings::CAPTCHA_KIND).await?;
    let ruled = rules.challenge_kind.as_deref().and_then(|word| word.parse().ok());
    let kind = ruled.filter(|kind| *kind != Kind::Off && set != Kind::Off).unwrap_or(set);
    let difficulty = match rules.challenge_difficulty {
        Some(difficulty) => difficulty,
        // The setting of the difficulty is for the kind in the settings.
        None if kind != set => 0,
        None => u8::try_from(settings::number(settings::CAPTCHA_DIFFICULTY, 0, 255).await?).unwrap_or(0),
    };
    Ok((kind, kind.difficulty(difficulty)))
}

/// Tells `lanes` what follows from the rules and the settings as they are now.
pub async fn tell(engine: &Engine<SharedRedis>, lanes: &[Lane]) -> Result<(), Problem> {
    let usual = usual_limits().await?;
    // Only the rules of these lanes: the time of a tick must not grow with what was ever made.
    let mut ids = vec![SHOP];
    ids.extend(lanes.iter().map(|lane| lane.item.as_str()));
    let found = engine.documents_of::<RulesDocument>(&ids).await?;
    let mut rules =
        ids.into_iter().zip(found).map(|(id, found)| found.unwrap_or_else(|| RulesDocument::none(id)));
    let shop = rules.next().unwrap_or_else(|| RulesDocument::none(SHOP));
    for (lane, item) in lanes.iter().zip(rules) {
        let rules = ItemRules { shop: shop.clone(), item };
        engine.apply_rules(lane, &VersionedRules::of(&rules, usual)).await.map_err(
            |error: EngineError| Problem::unavailable(format_args!("limits of lane {lane}: {error}")),
        )?;
    }
    Ok(())
}
