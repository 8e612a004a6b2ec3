use crate::ids::Lane;
use crate::item::Terms;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("publish_lane", 7, STOCK, ORDERS, OPERATING, HOLDERS);

/// What became of publishing or revising a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    New,
    /// The lane was there. It has the new terms, and its stock is unchanged.
    Revised,
    /// The item is closed for good.
    Closed,
    NotFound,
    /// The lane has terms of a newer document, which stay.
    Older,
}

impl<R: Redis> Engine<R> {
    /// Opens a lane with `total` units. An open lane gets the terms and keeps its stock.
    pub async fn publish(&self, lane: &Lane, total: i64, terms: &Terms) -> Result<Published, EngineError> {
        self.set_terms(lane, "publish", total, terms).await
    }

    /// Gives an open lane new terms. Its stock is unchanged.
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
        let [shop_version, item_version, rates, queue_factor, paused] = terms.rules.arguments();
        let mut reply = self
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
                    &keys.holders(),
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
                    &rates,
                    &queue_factor,
                    &paused,
                    self.change(),
                    &terms.version.to_string(),
                ],
            )
            .await?;
        Ok(match reply.text()?.as_str() {
            "published" => Published::New,
            "revised" => Published::Revised,
            "conflict" => Published::Closed,
            "not_found" => Published::NotFound,
            "older" => Published::Older,
            _ => return Err(reply.unexpected()),
        })
    }
}
