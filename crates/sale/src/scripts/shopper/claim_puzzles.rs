use crate::keys::PUZZLES_CLAIMED;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("claim_puzzles", 1);

/// How long a set of claims is kept from its first claim, in milliseconds. A function claims a batch moments after it reads it.
/// If the set expires just between, two shoppers see one picture, and only one of them can use its challenge. That is rare.
const KEPT_MS: u32 = 60_000;

impl<R: Redis> Engine<R> {
    /// Whether the caller is the first to claim this batch of pictures for challenges. The key-value store, which keeps the
    /// batches, has no operation for that.
    pub async fn claim_puzzles(&self, batch: &str) -> Result<bool, EngineError> {
        let mut reply = self.run(&SCRIPT, "", &[PUZZLES_CLAIMED], &[batch, &KEPT_MS.to_string()]).await?;
        match reply.text()?.as_str() {
            "claimed" => Ok(true),
            "gone" => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }
}
