use super::{Engine, EngineError, Script, script};
use crate::ids::PaymentId;
use crate::keys::{PROVIDER_KEPT, PROVIDER_PAYMENTS};
use crate::money::Money;
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("provider_register", 2);

impl<R: Redis> Engine<R> {
    /// Tells the simulated provider of a payment of `amount`, which can be paid until `pay_by`. Told again, it knows.
    pub async fn register_payment(
        &self,
        id: &PaymentId,
        amount: &Money,
        pay_by: Timestamp,
    ) -> Result<(), EngineError> {
        let mut answer = self
            .run(
                &SCRIPT,
                "",
                &[PROVIDER_PAYMENTS, PROVIDER_KEPT],
                &[
                    &id.to_string(),
                    &amount.amount.to_string(),
                    amount.currency.as_str(),
                    &pay_by.millis().to_string(),
                ],
            )
            .await?;
        match answer.text()?.as_str() {
            "registered" => Ok(()),
            _ => Err(answer.unexpected()),
        }
    }
}
