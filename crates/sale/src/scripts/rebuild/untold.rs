use crate::ids::{Lane, OrderId};
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, OutboxEntry, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("untold", 8, ORDERS, HOLDERS);

impl<R: Redis> Engine<R> {
    /// Sends the order of the untold event `id` to the order database again. Returns whether the order was cancelled, because
    /// its units are gone.
    pub async fn rebuild_untold(&self, order: &OrderId, id: &str) -> Result<bool, EngineError> {
        let keys = LaneKeys::of(&order.lane);
        let mut reply = self
            .run_on(
                &SCRIPT,
                &order.lane,
                &[
                    &keys.rebuilding(),
                    &keys.reservations(),
                    &keys.users(),
                    &keys.orders(),
                    &keys.deadlines(),
                    &keys.outbox(),
                    &keys.untold(),
                    &keys.holders(),
                ],
                &[id, order.tail.as_str()],
            )
            .await?;
        match reply.text()?.as_str() {
            "cancelled" => Ok(true),
            "restored" | "passed" | "not_found" => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }

    /// The oldest untold events of a lane, up to `most`, after the entry `after`.
    pub async fn untold(
        &self,
        lane: &Lane,
        after: Option<&str>,
        most: u32,
    ) -> Result<Vec<OutboxEntry>, EngineError> {
        let from = after.map_or("-".to_owned(), |id| format!("({id}"));
        self.untold_entries(lane, "XRANGE", [&from, "+"], most).await
    }

    /// The newest untold events of a lane before the entry `before`, newest first, up to `most`.
    pub async fn untold_before(
        &self,
        lane: &Lane,
        before: &str,
        most: u32,
    ) -> Result<Vec<OutboxEntry>, EngineError> {
        self.untold_entries(lane, "XREVRANGE", [&format!("({before}"), "-"], most).await
    }

    async fn untold_entries(
        &self,
        lane: &Lane,
        command: &str,
        [from, to]: [&str; 2],
        most: u32,
    ) -> Result<Vec<OutboxEntry>, EngineError> {
        let key = LaneKeys::of(lane).untold();
        let most = most.to_string();
        let arguments = [&*key, from, to, "COUNT", &most].map(str::as_bytes);
        let replies = self.redis.execute(command, &arguments).await?;
        // The reply is flat: the entry's id, the field's name, the event.
        Ok(replies
            .chunks_exact(3)
            .filter_map(|entry| match entry {
                [id, _, event] => Some(OutboxEntry::new(id.text()?.into_owned(), event)),
                _ => None,
            })
            .collect())
    }

    /// Removes an untold event, once its step is repeated.
    pub async fn forget_untold(&self, lane: &Lane, id: &str) -> Result<(), EngineError> {
        let key = LaneKeys::of(lane).untold();
        self.redis.execute("XDEL", &[key.as_bytes(), id.as_bytes()]).await?;
        Ok(())
    }
}
