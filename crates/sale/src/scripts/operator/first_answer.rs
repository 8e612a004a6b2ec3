use crate::keys::CATALOGUE_ANSWERS;
use crate::script;
use crate::scripts::{Engine, EngineError, Script};
use crate::store::Redis;

pub(crate) static SCRIPT: Script = script!("first_answer", 1, IDEMPOTENCY);

/// The answer that is kept under an operator's idempotency key, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstAnswer {
    /// Nothing was added under the key, or there is no key.
    None,
    /// This was added before; the text is the one that [`Engine::add_document`] was given.
    Kept(String),
    /// The key belongs to another request.
    KeyReused,
}

impl<R: Redis> Engine<R> {
    /// What [`Engine::add_document`] has kept under this engine's key. Ask before the checks that may come out differently
    /// the second time.
    pub async fn first_answer(&self) -> Result<FirstAnswer, EngineError> {
        let [key, digest] = self.key();
        if key.is_empty() {
            return Ok(FirstAnswer::None);
        }
        let mut reply = self.run(&SCRIPT, "", &[CATALOGUE_ANSWERS], &[key, digest]).await?;
        Ok(match reply.text()?.as_str() {
            "none" => FirstAnswer::None,
            "repeated" => FirstAnswer::Kept(reply.text()?),
            "key_reused" => FirstAnswer::KeyReused,
            _ => return Err(reply.unexpected()),
        })
    }
}
