//! The simulated payment provider: what it knows of payments, and which webhooks it owes the shop.
//!
//! It stands for a company of its own. The shop tells it of a payment ([`SimulatedProvider::register_payment`]), and it knows
//! nothing else of the shop or the shopper. It keeps its records in Redis, under keys and by scripts of its own. The function
//! `simulated-provider` shows its page and sends its webhooks; the function `reminder` wakes it.

pub mod keys;
mod payment;

pub use payment::{Choice, Delivery, ProviderPayment, Standing};

use sale::Engine;
use sale::ids::PaymentId;
use sale::scripts::{EngineError, ReplyReader};

sale::declare_scripts! {
    /// What the provider's functions run, and the shop once for each payment.
    scripts {
        register;
        choose: Chosen;
        claim;
        report;
        remind;
    }
}

/// The simulated provider, over the engine that runs its scripts.
pub struct SimulatedProvider<R> {
    engine: Engine<R>,
}

impl<R> SimulatedProvider<R> {
    pub fn new(engine: Engine<R>) -> Self {
        SimulatedProvider { engine }
    }

    pub fn engine(&self) -> &Engine<R> {
        &self.engine
    }
}

/// The payment `id`, from the record that comes next in `reply`.
fn read_payment(reply: &mut ReplyReader, id: PaymentId) -> Result<ProviderPayment, EngineError> {
    let record = reply.text()?;
    ProviderPayment::read(id, &record).ok_or_else(|| reply.unexpected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_keeps_the_rules_and_every_file_is_declared() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
        assert_eq!(sale::scripts::contract::faults(ALL, &folder), Vec::<String>::new());
    }
}
