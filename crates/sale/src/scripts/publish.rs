use super::{Engine, EngineError, OPERATING, ORDERS, Script, script};
use crate::ids::Lane;
use crate::item::Terms;
use crate::keys::LaneKeys;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("publish", 6, ORDERS, OPERATING);

/// What became of publishing or revising a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    New,
    /// The lane was there; its terms are the new ones, its stock is untouched.
    Revised,
    /// The item is closed for good.
    Closed,
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Opens a lane with `total` units; one that is open already gets the terms and keeps its stock.
    pub async fn publish(&self, lane: &Lane, total: i64, terms: &Terms) -> Result<Published, EngineError> {
        self.set_terms(lane, "publish", total, terms).await
    }

    /// Gives an open lane new terms; its stock is untouched.
    pub async fn revise(&self, lane: &Lane, terms: &Terms) -> Result<Published, EngineError> {
        self.set_terms(lane, "revise", 0, terms).await
    }

    async fn set_terms(
        &self,
        lane: &Lane,
        how: &str,
        total: i64,
        terms: &Terms,
    ) -> Result<Published, EngineError> {
        let keys = LaneKeys::of(lane);
        let [shop_version, item_version, limits, queue_factor, paused] = terms.limits.arguments();
        let mut answer = self
            .run_on(
                &SCRIPT,
                lane,
                &[
                    &keys.lane(),
                    &keys.queue(),
                    &keys.deadlines(),
                    &keys.alarm(),
                    &keys.changes(),
                    &keys.outbox(),
                ],
                &[
                    how,
                    &total.to_string(),
                    &terms.starts_at.millis().to_string(),
                    &terms.ends_at.millis().to_string(),
                    &terms.per_user_limit.to_string(),
                    terms.mode.as_str(),
                    &terms.price.amount.to_string(),
                    terms.price.currency.as_str(),
                    &terms.hold_ms.to_string(),
                    &terms.pay_ms.to_string(),
                    &terms.retention_ms.to_string(),
                    &shop_version,
                    &item_version,
                    &limits,
                    &queue_factor,
                    &paused,
                    self.change(),
                ],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "published" => Published::New,
            "revised" => Published::Revised,
            "conflict" => Published::Closed,
            "not_found" => Published::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }
}
