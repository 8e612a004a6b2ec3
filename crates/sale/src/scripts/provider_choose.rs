use super::{Answer, Engine, EngineError, Script, script};
use crate::ids::PaymentId;
use crate::keys::{PROVIDER_ALARM, PROVIDER_DUE, PROVIDER_PAYMENTS};
use crate::provider::{Choice, ProviderPayment};
use crate::store::{Redis, Reply};

pub(super) static SCRIPT: Script = script!("provider_choose", 3);

/// What became of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// It stands.
    Done(ProviderPayment),
    /// An earlier one does.
    Known(ProviderPayment),
    NotFound,
}

impl<R: Redis> Engine<R> {
    /// Writes down what a person chose, before anything else is done about it. `event_id` names the webhook's event in
    /// every try to deliver it.
    pub async fn choose_outcome(
        &self,
        id: &PaymentId,
        choice: Choice,
        event_id: &str,
    ) -> Result<Chosen, EngineError> {
        let mut answer = self
            .run(
                &SCRIPT,
                "",
                &[PROVIDER_PAYMENTS, PROVIDER_DUE, PROVIDER_ALARM],
                &[&id.to_string(), choice.as_str(), event_id],
            )
            .await?;
        Ok(match answer.text()?.as_str() {
            "chosen" => Chosen::Done(answer.provider_payment(id.clone())?),
            "known" => Chosen::Known(answer.provider_payment(id.clone())?),
            "not_found" => Chosen::NotFound,
            _ => return Err(answer.unexpected()),
        })
    }

    /// What the simulated provider knows of a payment.
    pub async fn provider_payment(&self, id: &PaymentId) -> Result<Option<ProviderPayment>, EngineError> {
        let field = id.to_string();
        let replies = self.redis.execute("HGET", &[PROVIDER_PAYMENTS.as_bytes(), field.as_bytes()]).await?;
        if matches!(replies.first(), None | Some(Reply::Nil)) {
            return Ok(None);
        }
        Answer { script: &SCRIPT, replies, at: 0 }.provider_payment(id.clone()).map(Some)
    }
}
