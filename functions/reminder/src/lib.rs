//! Redis trigger `__keyevent@0__:expired`: the simulated provider's alarm lapsed, so it may owe the shop a webhook
//! (script `remind` of the crate `provider-simulation`).
//!
//! It asks the provider to deliver, at the application's own address: a component behind a Redis trigger has no
//! `http://self`, and the key that signs webhooks is the provider's alone. Should nobody answer there, the alarm lapses
//! again in two seconds. Other keys that expire arrive here as well and are passed over. An empty message, which a runtime
//! may send when its subscription was interrupted, means that an alarm may have been missed.

use std::time::Duration;

use provider_simulation::SimulatedProvider;
use provider_simulation::keys::ALARM;
use sale::Engine;
use web::SharedRedis;
use web::platform::settings;
use web::shop::payment::remind_provider;
use web::shop::worker;

/// Messages are handled one at a time, and queues wait to be drained: the provider goes on without us.
const PATIENCE: Duration = Duration::from_secs(1);

web::subscriber!("reminder", handle, settings: [REDIS_URL, PAYMENT_PROVIDER, OWN_ORIGIN]);

async fn handle(message: Vec<u8>) -> anyhow::Result<()> {
    if !message.is_empty() && message != ALARM.as_bytes() {
        return Ok(());
    }
    let reminded = async {
        let origin = settings::text(settings::OWN_ORIGIN).await?;
        let provider = SimulatedProvider::new(Engine::new(SharedRedis));
        remind_provider(async || provider.deliveries_due().await, &origin, PATIENCE).await
    };
    if let Err(problem) = reminded.await {
        worker::log_failure("reminder", "", problem.cause().unwrap_or(problem.slug()));
        // If Redis refused, the alarm could not be set again. Our host passes a message on again that failed.
        anyhow::bail!("the provider was not reminded");
    }
    Ok(())
}
