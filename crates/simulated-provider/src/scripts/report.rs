use crate::keys::{ALARM, DUE, PAYMENTS};
use crate::payment::{Delivery, ProviderPayment};
use crate::{SimulatedProvider, read_payment};
use sale::scripts::{EngineError, Script};
use sale::store::Redis;

pub(crate) static SCRIPT: Script = sale::script!("report", 3);

impl<R: Redis> SimulatedProvider<R> {
    /// Records the outcome of the try that `claimed` began. Returns the payment as it is then.
    pub async fn report_delivery(
        &self,
        claimed: &ProviderPayment,
        delivery: &Delivery,
    ) -> Result<Option<ProviderPayment>, EngineError> {
        let (outcome, said) = delivery.words();
        let keys = [PAYMENTS, DUE, ALARM];
        let arguments = [&claimed.id.to_string(), &claimed.tries.to_string(), outcome, &said];
        let mut reply = self.engine.run(&SCRIPT, "", &keys, &arguments).await?;
        match reply.text()?.as_str() {
            "noted" | "known" => read_payment(&mut reply, claimed.id.clone()).map(Some),
            "not_found" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }
}
