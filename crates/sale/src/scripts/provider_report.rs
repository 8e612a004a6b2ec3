use super::{Engine, EngineError, Script, script};
use crate::keys::{PROVIDER_ALARM, PROVIDER_DUE, PROVIDER_PAYMENTS};
use crate::provider::{Delivery, ProviderPayment};
use crate::store::Redis;

pub(super) static SCRIPT: Script = script!("provider_report", 3);

impl<R: Redis> Engine<R> {
    /// Tells what became of the try that `claimed` began, and gives the payment as it stands then.
    pub async fn report_delivery(
        &self,
        claimed: &ProviderPayment,
        delivery: &Delivery,
    ) -> Result<Option<ProviderPayment>, EngineError> {
        let (outcome, said) = delivery.words();
        let keys = [PROVIDER_PAYMENTS, PROVIDER_DUE, PROVIDER_ALARM];
        let arguments = [&claimed.id.to_string(), &claimed.tries.to_string(), outcome, &said];
        let mut answer = self.run(&SCRIPT, "", &keys, &arguments).await?;
        match answer.text()?.as_str() {
            "noted" | "known" => answer.provider_payment(claimed.id.clone()).map(Some),
            "not_found" => Ok(None),
            _ => Err(answer.unexpected()),
        }
    }
}
