use super::{Engine, EngineError, Script, script};
use crate::keys::PUZZLES_CLAIMED;
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("claim", 1);

/// How long a set of claims is kept from its first, in milliseconds. Whoever read a batch claims it within moments; that a
/// set ends just in between is rare, and then two shoppers see a picture whose challenge only one of them can use.
const KEPT_MS: u32 = 60_000;

impl<R: Redis> Engine<R> {
    /// Whether the caller is the first to claim this batch of pictures for challenges. The key-value store that keeps
    /// batches can't say.
    pub async fn claim_puzzles(&self, batch: &str) -> Result<bool, EngineError> {
        let mut answer = self.run(&SCRIPT, "", &[PUZZLES_CLAIMED], &[batch, &KEPT_MS.to_string()]).await?;
        match answer.text()?.as_str() {
            "claimed" => Ok(true),
            "gone" => Ok(false),
            _ => Err(answer.unexpected()),
        }
    }
}
