use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::{Redis, Reply};

pub(crate) static SCRIPT: Script = script!("read_outbox", 1);

/// An event of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The stream's id, to acknowledge by.
    pub id: String,
    /// The event, JSON.
    pub event: String,
}

impl<R: Redis> Engine<R> {
    /// The oldest events that are not acknowledged, in order, up to `most`. Reading again gives the same ones.
    pub async fn read_outbox(&self, lane: &Lane, most: u32) -> Result<Vec<OutboxEntry>, EngineError> {
        let outbox = LaneKeys::of(lane).outbox();
        let mut reply = self.run_on(&SCRIPT, lane, &[&outbox], &[&most.clamp(1, 1000).to_string()]).await?;
        if reply.text()? != "events" {
            return Err(reply.unexpected());
        }
        let mut entries = Vec::new();
        while !reply.is_finished() {
            let id = reply.text()?;
            // An entry that is no text must not stop those behind it: the ledger sets it aside.
            let event = match reply.value()? {
                Reply::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                other => other.text().unwrap_or_default().into_owned(),
            };
            entries.push(OutboxEntry { id, event });
        }
        Ok(entries)
    }
}
