use super::{Answer, Engine, EngineError, Script, script};
use crate::ids::PaymentId;
use crate::keys::{PROVIDER_ALARM, PROVIDER_DUE, PROVIDER_PAYMENTS};
use crate::provider::ProviderPayment;
use crate::store::Redis;
use crate::time::Timestamp;

pub(super) static SCRIPT: Script = script!("provider_claim", 3);

impl Answer {
    pub(super) fn provider_payment(&mut self, id: PaymentId) -> Result<ProviderPayment, EngineError> {
        let record = self.text()?;
        ProviderPayment::read(id, &record).ok_or_else(|| self.unexpected())
    }
}

impl<R: Redis> Engine<R> {
    /// Takes one webhook that is due, of `payment` or of whichever waits longest, with the moment at which it was taken.
    /// Nobody else gets it for some seconds; tell what became of it by [`Engine::report_delivery`].
    pub async fn claim_delivery(
        &self,
        payment: Option<&PaymentId>,
    ) -> Result<Option<(ProviderPayment, Timestamp)>, EngineError> {
        let wanted = payment.map(PaymentId::to_string).unwrap_or_default();
        let keys = [PROVIDER_PAYMENTS, PROVIDER_DUE, PROVIDER_ALARM];
        let mut answer = self.run(&SCRIPT, "", &keys, &[&wanted]).await?;
        match answer.text()?.as_str() {
            "claimed" => {
                let id = answer.parsed()?;
                Ok(Some((answer.provider_payment(id)?, answer.moment()?)))
            }
            "nothing" => Ok(None),
            _ => Err(answer.unexpected()),
        }
    }
}
