use crate::SimulatedProvider;
use crate::keys::{KEPT, PAYMENTS};
use sale::ids::PaymentId;
use sale::money::Money;
use sale::scripts::{EngineError, Script};
use sale::store::Redis;
use sale::time::Timestamp;

pub(crate) static SCRIPT: Script = sale::script!("register", 2);

impl<R: Redis> SimulatedProvider<R> {
    /// Registers a payment of `amount`, which can be paid until `pay_by`. Repeating it changes nothing.
    pub async fn register_payment(
        &self,
        id: &PaymentId,
        amount: &Money,
        pay_by: Timestamp,
    ) -> Result<(), EngineError> {
        let mut reply = self
            .engine
            .run(
                &SCRIPT,
                "",
                &[PAYMENTS, KEPT],
                &[
                    &id.to_string(),
                    &amount.amount.to_string(),
                    amount.currency.as_str(),
                    &pay_by.millis().to_string(),
                ],
            )
            .await?;
        match reply.text()?.as_str() {
            "registered" => Ok(()),
            _ => Err(reply.unexpected()),
        }
    }
}
