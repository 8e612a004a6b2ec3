use crate::SimulatedProvider;
use crate::keys::{ALARM, DUE};
use sale::scripts::{EngineError, Script};
use sale::store::Redis;

pub(crate) static SCRIPT: Script = sale::script!("remind", 2);

impl<R: Redis> SimulatedProvider<R> {
    /// Whether webhooks of the simulated provider are due. If so, the alarm lapses again in two seconds at the latest.
    pub async fn deliveries_due(&self) -> Result<bool, EngineError> {
        let mut reply = self.engine.run(&SCRIPT, "", &[DUE, ALARM], &[]).await?;
        match reply.text()?.as_str() {
            "due" => Ok(true),
            "nothing" => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }
}
