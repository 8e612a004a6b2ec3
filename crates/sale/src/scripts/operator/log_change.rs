use crate::change::{LoggedChange, MOST_ENTRIES};
use crate::ids::Lane;
use crate::keys::{LOG, LOG_POSITIONS, LaneKeys};
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::{Redis, Reply};
use serde::Serialize;

pub(crate) static SCRIPT: Script = script!("log_change", 2);

/// Changes of one lane that are brought to the log at a time.
const BATCH: i64 = 100;

impl<R: Redis> Engine<R> {
    /// Logs the operator's change that this engine has made, if no script logs it.
    pub async fn log_change(
        &self,
        before: &impl Serialize,
        after: &impl Serialize,
    ) -> Result<(), EngineError> {
        let (before, after) = (serde_json::json!(before), serde_json::json!(after));
        let entry = format!("{},\"before\":{before},\"after\":{after}", self.change());
        let most = MOST_ENTRIES.to_string();
        let mut reply = self.run(&SCRIPT, "", &[LOG, LOG_POSITIONS], &["", &entry, &most]).await?;
        match reply.text()?.as_str() {
            "logged" => Ok(()),
            _ => Err(reply.unexpected()),
        }
    }

    /// Brings the operators' changes of a lane to the shop's log, each once, in order. Returns how many there were.
    ///
    /// Two callers at once, or a second call after one died half-way, add nothing twice.
    pub async fn collect_changes(&self, lane: &Lane) -> Result<usize, EngineError> {
        let changes = LaneKeys::of(lane).changes();
        let most = MOST_ENTRIES.to_string();
        let last = (BATCH - 1).to_string();
        let mut collected = 0;
        loop {
            let waiting = self.redis.execute("LRANGE", &[changes.as_bytes(), b"0", last.as_bytes()]).await?;
            if waiting.is_empty() {
                return Ok(collected);
            }
            for change in waiting {
                let text = change.text().unwrap_or_default();
                if let Some((number, entry)) = text.split_once('|') {
                    self.run_on(&SCRIPT, lane, &[LOG, LOG_POSITIONS], &[number, entry, &most]).await?;
                    collected += 1;
                }
                self.redis.execute("LREM", &[changes.as_bytes(), b"1", text.as_bytes()]).await?;
            }
        }
    }

    /// `count` entries of the shop's log, newest first, after the first `skip`; and how many the log has.
    pub async fn log(&self, skip: usize, count: usize) -> Result<(Vec<LoggedChange>, u64), EngineError> {
        let total = self.redis.execute("XLEN", &[LOG.as_bytes()]).await?;
        let total = total.first().and_then(Reply::int).unwrap_or(0);
        let reach = skip.saturating_add(count).min(MOST_ENTRIES as usize).to_string();
        let range: [&[u8]; 5] = [LOG.as_bytes(), b"+", b"-", b"COUNT", reach.as_bytes()];
        let replies = self.redis.execute("XREVRANGE", &range).await?;
        // The reply is flat: id, field, value.
        let entries = replies.chunks_exact(3).skip(skip).filter_map(|entry| entry.get(2)?.text());
        let entries = entries.filter_map(|text| serde_json::from_slice(text.as_bytes()).ok()).collect();
        Ok((entries, u64::try_from(total).unwrap_or(0)))
    }
}
