use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Contact, Engine, EngineError, Script};
use crate::store::{Redis, Reply};

pub(crate) static SCRIPT: Script = script!("read_outbox", 2);

/// An event of the outbox, or of the untold ones.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// The stream's id, to acknowledge by.
    pub id: String,
    /// The event, JSON.
    pub event: String,
    /// Contact, address and note of the order that the event made. Only events of the outbox have it, until it is erased.
    pub contact: Option<Contact>,
}

impl OutboxEntry {
    /// The entry of the stream with this reply as its event.
    pub(crate) fn new(id: String, event: &Reply) -> Self {
        // An entry that is no text must not stop those behind it: the ledger sets it aside.
        let event = match event {
            Reply::Binary(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => other.text().unwrap_or_default().into_owned(),
        };
        OutboxEntry { id, event: without_details(event), contact: None }
    }
}

/// Leaves out what is personal.
impl std::fmt::Debug for OutboxEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxEntry")
            .field("id", &self.id)
            .field("event", &self.event)
            .finish_non_exhaustive()
    }
}

/// The event as this version tells it. An older version told contact, address and note as the event's last member.
///
/// The order database removed that member from its events in the same way, so the two texts are equal.
fn without_details(mut event: String) -> String {
    if event.contains("\"type\":\"order.created\"")
        && let Some(at) = event.find(",\"details\":{")
    {
        event.truncate(at);
        event.push('}');
    }
    event
}

impl<R: Redis> Engine<R> {
    /// The oldest events that are not acknowledged, in order, up to `most`. Reading again gives the same ones.
    pub async fn read_outbox(&self, lane: &Lane, most: u32) -> Result<Vec<OutboxEntry>, EngineError> {
        let keys = LaneKeys::of(lane);
        let most = most.clamp(1, 1000).to_string();
        let mut reply = self.run_on(&SCRIPT, lane, &[&keys.outbox(), &keys.details()], &[&most]).await?;
        if reply.text()? != "events" {
            return Err(reply.unexpected());
        }
        let mut entries = Vec::new();
        while !reply.is_finished() {
            let entry = OutboxEntry::new(reply.text()?, &reply.value()?);
            entries.push(OutboxEntry { contact: Contact::from_json(&reply.text()?), ..entry });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_an_older_version_loses_its_personal_data() {
        let told = |more: &str| format!("{{\"seq\":12,\"type\":\"order.created\",\"pay_by\":5{more}}}");
        let older =
            told(",\"details\":{\"contact\":\",\\\"details\\\":{\",\"address\":\"a\",\"note\":\"}}\"}");
        assert_eq!(without_details(older), told(""));
        assert_eq!(without_details(told("")), told(""));
        let other = "{\"seq\":13,\"type\":\"lane.described\",\"documents\":{},\"details\":{}}".to_owned();
        assert_eq!(without_details(other.clone()), other);
    }
}
