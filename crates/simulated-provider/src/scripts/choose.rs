use crate::keys::{ALARM, DUE, PAYMENTS};
use crate::payment::{Choice, ProviderPayment};
use crate::{SimulatedProvider, read_payment};
use sale::ids::PaymentId;
use sale::scripts::{EngineError, ReplyReader, Script};
use sale::store::{Redis, Reply};

pub(crate) static SCRIPT: Script = sale::script!("choose", 3);

/// What became of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// The choice stands.
    Done(ProviderPayment),
    /// An earlier choice stands.
    Known(ProviderPayment),
    NotFound,
}

impl<R: Redis> SimulatedProvider<R> {
    /// Records what a person chose, before anything else happens. `event_id` names the webhook's event in every try to
    /// deliver it.
    pub async fn choose_outcome(
        &self,
        id: &PaymentId,
        choice: Choice,
        event_id: &str,
    ) -> Result<Chosen, EngineError> {
        let mut reply = self
            .engine
            .run(&SCRIPT, "", &[PAYMENTS, DUE, ALARM], &[&id.to_string(), choice.as_str(), event_id])
            .await?;
        Ok(match reply.text()?.as_str() {
            "chosen" => Chosen::Done(read_payment(&mut reply, id.clone())?),
            "known" => Chosen::Known(read_payment(&mut reply, id.clone())?),
            "not_found" => Chosen::NotFound,
            _ => return Err(reply.unexpected()),
        })
    }

    /// What the simulated provider knows of a payment.
    pub async fn payment(&self, id: &PaymentId) -> Result<Option<ProviderPayment>, EngineError> {
        let field = id.to_string();
        let replies = self.engine.redis().execute("HGET", &[PAYMENTS.as_bytes(), field.as_bytes()]).await?;
        if matches!(replies.first(), None | Some(Reply::Nil)) {
            return Ok(None);
        }
        read_payment(&mut ReplyReader::new(&SCRIPT, replies), id.clone()).map(Some)
    }
}
