use crate::keys::{ALARM, DUE, PAYMENTS};
use crate::payment::ProviderPayment;
use crate::{SimulatedProvider, read_payment};
use sale::ids::PaymentId;
use sale::scripts::{EngineError, Script};
use sale::store::Redis;
use sale::time::Timestamp;

pub(crate) static SCRIPT: Script = sale::script!("claim", 3);

impl<R: Redis> SimulatedProvider<R> {
    /// Claims one webhook that is due, of `payment` or the one that waits longest; also gives the moment of the claim. No other
    /// caller gets it for some seconds. Report its outcome by [`SimulatedProvider::report_delivery`].
    pub async fn claim_delivery(
        &self,
        payment: Option<&PaymentId>,
    ) -> Result<Option<(ProviderPayment, Timestamp)>, EngineError> {
        let wanted = payment.map(PaymentId::to_string).unwrap_or_default();
        let keys = [PAYMENTS, DUE, ALARM];
        let mut reply = self.engine.run(&SCRIPT, "", &keys, &[&wanted]).await?;
        match reply.text()?.as_str() {
            "claimed" => {
                let id = reply.parsed()?;
                Ok(Some((read_payment(&mut reply, id)?, reply.moment()?)))
            }
            "nothing" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }
}
