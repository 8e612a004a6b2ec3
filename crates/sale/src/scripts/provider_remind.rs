use super::{Engine, EngineError, Script, script};
use crate::keys::{PROVIDER_ALARM, PROVIDER_DUE};
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("provider_remind", 2);

impl<R: Redis> Engine<R> {
    /// Whether webhooks of the simulated provider are due. If so, the alarm lapses again in two seconds at the latest.
    pub async fn deliveries_due(&self) -> Result<bool, EngineError> {
        let mut answer = self.run(&SCRIPT, "", &[PROVIDER_DUE, PROVIDER_ALARM], &[]).await?;
        match answer.text()?.as_str() {
            "due" => Ok(true),
            "nothing" => Ok(false),
            _ => Err(answer.unexpected()),
        }
    }
}
