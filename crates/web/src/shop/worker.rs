//! The log of work: one line about what was done to a lane, or why it was not.

use sale::ids::Lane;
use sale::work::Done;
use serde::Serialize;

use crate::http::request::local_now;
use crate::http::serve::{logs_everything, write_line};

/// Makes a handler what the platform calls for each message of the Redis trigger `$name`.
///
/// `settings` are what the function may read, in the order of `[variables]` in spin.toml. The SDK's attribute names the
/// SDK, so the function's crate depends on it too.
#[macro_export]
macro_rules! subscriber {
    ($name:literal, $handler:ident, settings: $($settings:tt)+) => {
        $crate::declaration!($name, $($settings)+);
        mod component {
            #[::spin_sdk::redis_subscriber]
            async fn handle(message: Vec<u8>) -> ::anyhow::Result<()> {
                $crate::platform::settings::declare(super::declaration::SETTINGS);
                super::$handler(message).await
            }
        }
    };
}

/// A piece of work in the log.
#[derive(Serialize)]
struct Line<'a, D> {
    ts: String,
    level: &'static str,
    component: &'static str,
    lane: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<&'a D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// Logs what was done to a lane, if anything was done and the setting `log_requests` asks for it.
pub async fn log_done(component: &'static str, lane: &Lane, done: &Done) {
    if done.is_nothing() {
        return;
    }
    match logs_everything().await {
        Ok(true) => log_work(component, lane, done, false),
        Ok(false) => {}
        Err(problem) => log_failure(component, &lane.to_string(), problem.cause().unwrap_or_default()),
    }
}

/// Logs any kind of work. With `look` it is a warning: an operator should look at it.
pub fn log_work(component: &'static str, lane: &Lane, done: &impl Serialize, look: bool) {
    let level = if look { "warn" } else { "info" };
    let (ts, lane) = (local_now().to_string(), lane.to_string());
    write_line(&Line { ts, level, component, lane, done: Some(done), cause: None });
}

/// Logs why work on a lane could not be done. Nothing is lost: the next poll, alarm or tick finds it.
pub fn log_failure(component: &'static str, lane: &str, cause: impl std::fmt::Display) {
    let (lane, cause) = (lane.to_owned(), Some(cause.to_string()));
    let done = None::<&Done>;
    write_line(&Line { ts: local_now().to_string(), level: "error", component, lane, done, cause });
}
