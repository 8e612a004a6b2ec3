use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::rules::{ItemRules, RulesDocument, SHOP, VersionedRules};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("apply_rules", 5, STOCK, ORDERS, OPERATING);

/// What became of writing the rules into a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Done,
    /// The lane has newer rules, which stay.
    Newer,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Writes the rules into a lane. The next request of a shopper goes by them.
    pub async fn apply_rules(&self, lane: &Lane, rules: &VersionedRules) -> Result<Applied, EngineError> {
        let keys = LaneKeys::of(lane);
        let [shop_version, item_version, rates, queue_factor, paused] = rules.arguments();
        let mut reply = self
            .run_on(
                &SCRIPT,
                lane,
                &[&keys.lane(), &keys.queue(), &keys.deadlines(), &keys.alarm(), &keys.outbox()],
                &[&shop_version, &item_version, &rates, &queue_factor, &paused],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "applied" => Applied::Done,
            "newer" => Applied::Newer,
            "not_found" => Applied::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }

    /// The rules for an item: its own, and the shop's.
    pub async fn rules_of(&self, item: &str) -> Result<ItemRules, EngineError> {
        let mut found = self.documents_of::<RulesDocument>(&[SHOP, item]).await?.into_iter();
        let mut next = |id| found.next().flatten().unwrap_or_else(|| RulesDocument::none(id));
        Ok(ItemRules { shop: next(SHOP), item: next(item) })
    }
}
