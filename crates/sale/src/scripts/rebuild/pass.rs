use crate::ids::Lane;
use crate::keys::LaneKeys;
use crate::script;
use crate::scripts::{Engine, EngineError, Rebuilding, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("pass", 2, ORDERS);

/// What operators decided, by untold events of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// Fields of the lane with their new values. An empty value removes the field.
    pub fields: Vec<(String, String)>,
    /// The newest documents of sale and item, as a JSON object.
    pub documents: Option<String>,
}

/// A page of untold events that was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassedPage<'a> {
    /// Where the page began.
    pub cursor: &'a str,
    /// The entry at which it ended.
    pub next: &'a str,
    pub is_last: bool,
}

impl<R: Redis> Engine<R> {
    /// Puts the operators' decisions of a page of untold events back, and goes to the next page. A repeated call changes
    /// nothing.
    pub async fn rebuild_decisions(
        &self,
        lane: &Lane,
        page: PassedPage<'_>,
        decisions: &Decisions,
    ) -> Result<Rebuilding, EngineError> {
        self.pass(lane, "decisions", page, decisions).await
    }

    /// Goes to the next page of untold events, once the orders of this one were sent again.
    pub async fn pass_untold(&self, lane: &Lane, page: PassedPage<'_>) -> Result<Rebuilding, EngineError> {
        self.pass(lane, "untold", page, &Decisions::default()).await
    }

    async fn pass(
        &self,
        lane: &Lane,
        phase: &str,
        page: PassedPage<'_>,
        decisions: &Decisions,
    ) -> Result<Rebuilding, EngineError> {
        let keys = LaneKeys::of(lane);
        let is_last = if page.is_last { "1" } else { "0" };
        let documents = decisions.documents.as_deref().unwrap_or_default();
        let mut arguments = vec![phase, page.cursor, page.next, is_last, documents];
        arguments.extend(decisions.fields.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]));
        let mut reply = self.run_on(&SCRIPT, lane, &[&keys.rebuilding(), &keys.outbox()], &arguments).await?;
        reply.rebuilding()
    }
}
