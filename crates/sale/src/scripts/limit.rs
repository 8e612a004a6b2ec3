use super::{Engine, EngineError, OPERATING, Script, script};
use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::rules::{ItemRules, RulesDocument, SHOP, VersionedLimits};
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("limit", 4, OPERATING);

/// What became of giving a lane its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    Done,
    /// It has those of younger rules, which stay.
    Younger,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Gives a lane the limits that follow from the rules; the next step of a shopper goes by them.
    pub async fn limit(&self, lane: &Lane, limits: &VersionedLimits) -> Result<Limited, EngineError> {
        let keys = LaneKeys::of(lane);
        let [shop_version, item_version, limits, queue_factor, paused] = limits.arguments();
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.queue(), &keys.deadlines(), &keys.alarm()],
                &[&shop_version, &item_version, &limits, &queue_factor, &paused],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "limited" => Limited::Done,
            "younger" => Limited::Younger,
            "not_found" => Limited::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }

    /// The rules that concern an item: its own, and the shop's.
    pub async fn rules_of(&self, item: &str) -> Result<ItemRules, EngineError> {
        let found = self.documents_of::<RulesDocument, 2>([SHOP, item]).await?;
        let [shop, item] = found.map(|(id, found)| found.unwrap_or_else(|| RulesDocument::none(id)));
        Ok(ItemRules { shop, item })
    }
}
