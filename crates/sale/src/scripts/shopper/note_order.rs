use crate::ids::{OrderId, UserId};
use crate::keys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("note_order", 1);

/// The most orders that are noted for a shopper.
pub const MOST_RECENT_ORDERS: usize = 8;

/// How long an order stays noted, in milliseconds: an hour, in which the order database usually gets it.
const KEPT_MS: i64 = 3_600_000;

impl<R: Redis> Engine<R> {
    /// Notes an order that `user` just made. A repeated call changes nothing.
    pub async fn note_order(&self, order: &OrderId, user: &UserId) -> Result<(), EngineError> {
        let (most, kept) = (MOST_RECENT_ORDERS.to_string(), KEPT_MS.to_string());
        let key = keys::recent_orders(user);
        let mut reply = self.run(&SCRIPT, "", &[&key], &[&order.to_string(), &most, &kept]).await?;
        match reply.text()?.as_str() {
            "noted" => Ok(()),
            _ => Err(reply.unexpected()),
        }
    }

    /// The orders that `user` made of late, newest first. At most [`MOST_RECENT_ORDERS`].
    pub async fn recent_orders(&self, user: &UserId) -> Result<Vec<OrderId>, EngineError> {
        let key = keys::recent_orders(user);
        let replies = self.redis.execute("LRANGE", &[key.as_bytes(), b"0", b"-1"]).await?;
        Ok(replies.iter().filter_map(|reply| reply.text()?.parse().ok()).collect())
    }
}
