//! The settings that functions read: Spin's variables, typed.
//!
//! Each setting is a constant here, and `[variables]` in `spin.toml` says what it means. A function declares the ones it
//! reads where it makes its entry point (`web::service!`, `web::subscriber!`). Reading another one, or one that
//! `spin.toml` does not grant to the component, is `unavailable`, with a cause that names the setting.
//!
//! A setting is read once in an instance's life; an instance lives for seconds.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;

use spin_sdk::variables::{self, Error};

use crate::http::problem::Problem;

/// The name of a variable. Only this module makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting(&'static str);

/// Makes a constant for each setting, and the list of all.
macro_rules! settings {
    ($($constant:ident = $name:literal)+) => {
        $(#[allow(missing_docs)] pub const $constant: Setting = Setting($name);)+
        /// Every setting that a function reads, in the order of `[variables]`.
        #[cfg(test)]
        const ALL: &[Setting] = &[$($constant),+];
    };
}

settings! {
    LOG_REQUESTS = "log_requests"
    REDIS_URL = "redis_url"
    TRUST_PROXY = "trust_proxy"
    CORS_ORIGINS = "cors_origins"

    SESSION_SECRET = "session_secret"
    AUTH_MODE = "auth_mode"
    JWKS = "jwks"
    JWT_ISSUER = "jwt_issuer"
    JWT_AUDIENCE = "jwt_audience"

    ADMIN_TOKEN = "admin_token"
    RATE_LIMITS = "rate_limits"
    SESSIONS_PER_MINUTE = "sessions_per_minute"
    OPERATOR_FAILURES_PER_MINUTE = "operator_failures_per_minute"
    METRICS_TOKEN = "metrics_token"

    TRIES_PER_TEN_SECONDS = "tries_per_ten_seconds"
    ADDRESS_TRIES_PER_TEN_SECONDS = "address_tries_per_ten_seconds"
    POLLS_PER_TEN_SECONDS = "polls_per_ten_seconds"
    POLLS_PER_SECOND = "polls_per_second"
    UNITS_PER_SECOND = "units_per_second"
    QUEUE_FACTOR = "queue_factor"

    CAPTCHA_KIND = "captcha_kind"
    CAPTCHA_DIFFICULTY = "captcha_difficulty"
    TURNSTILE_SITE_KEY = "turnstile_site_key"
    TURNSTILE_SECRET = "turnstile_secret"
    TURNSTILE_SCRIPT_URL = "turnstile_script_url"
    TURNSTILE_URL = "turnstile_url"
    TURNSTILE_TIMEOUT_MS = "turnstile_timeout_ms"
    TURNSTILE_HOSTNAME = "turnstile_hostname"

    RISK_URL = "risk_url"
    RISK_TOKEN = "risk_token"
    RISK_TIMEOUT_MS = "risk_timeout_ms"
    RISK_ON_FAILURE = "risk_on_failure"

    HOLD_SECONDS = "hold_seconds"
    PAY_SECONDS = "pay_seconds"
    RETENTION_SECONDS = "retention_seconds"
    PERSONAL_DATA_DAYS = "personal_data_days"

    PAYMENT_PROVIDER = "payment_provider"
    PAYMENT_URL = "payment_url"
    PAYMENT_LINK_SECRET = "payment_link_secret"
    PAYMENT_WEBHOOK_SECRET = "payment_webhook_secret"
    OWN_ORIGIN = "own_origin"

    LEDGER = "ledger"
}

/// What every function of the API reads.
pub const COMMON: &[Setting] = &[LOG_REQUESTS, REDIS_URL, TRUST_PROXY, CORS_ORIGINS];
/// What [`crate::caller::session`] reads to know the shopper.
pub const IDENTITY: &[Setting] = &[SESSION_SECRET, AUTH_MODE, JWKS, JWT_ISSUER, JWT_AUDIENCE];
/// What [`crate::caller::operator`] reads to know the operator.
pub const OPERATOR: &[Setting] = &[ADMIN_TOKEN, RATE_LIMITS, OPERATOR_FAILURES_PER_MINUTE];
/// What [`crate::shop::rules`] reads where no operator has set a rule.
pub const RULES: &[Setting] = &[
    TRIES_PER_TEN_SECONDS,
    ADDRESS_TRIES_PER_TEN_SECONDS,
    POLLS_PER_TEN_SECONDS,
    POLLS_PER_SECOND,
    UNITS_PER_SECOND,
    QUEUE_FACTOR,
];

/// The settings that a function declares, group after group.
pub type Declaration = &'static [&'static [Setting]];

/// Makes `declaration::SETTINGS` of `"component", COMMON, IDENTITY, [ITS_OWN, …]`, and the test that compares it with
/// `spin.toml`. Part of `service!` and `subscriber!`, so every function has both.
#[doc(hidden)]
#[macro_export]
macro_rules! declaration {
    (@ [$($own:ident),* $(,)?]) => { &[$($crate::platform::settings::$own),*] };
    (@ $group:ident) => { $crate::platform::settings::$group };
    ($component:literal, $($part:tt),+) => {
        mod declaration {
            pub(super) const SETTINGS: $crate::platform::settings::Declaration =
                &[$($crate::declaration!(@ $part)),+];

            #[cfg(test)]
            #[test]
            fn spin_toml_grants_exactly_the_declared_settings() {
                ::manifest::check($component, &$crate::platform::settings::names(SETTINGS));
            }
        }
    };
}

/// The names in a declaration, in its order.
pub fn names(declaration: Declaration) -> Vec<&'static str> {
    declaration.iter().copied().flatten().map(|setting| setting.0).collect()
}

/// Shorter secrets could be guessed.
const SECRET_LENGTH: usize = 32;

thread_local! {
    static DECLARED: Cell<Declaration> = const { Cell::new(&[]) };
    /// A dozen at most: looking through them is quicker than hashing a name.
    static VALUES: RefCell<Vec<(Setting, Rc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// Says what this function may read. An entry point does this first.
pub fn declare(declaration: Declaration) {
    DECLARED.set(declaration);
}

/// Whether this function declares `setting`: for what several functions share and only some of them have.
pub fn is_declared(setting: Setting) -> bool {
    DECLARED.get().iter().copied().flatten().any(|declared| *declared == setting)
}

/// A setting's text; it may be empty.
pub async fn text(setting: Setting) -> Result<Rc<str>, Problem> {
    if let Some(value) = VALUES.with_borrow(|values| value_of(values, setting)) {
        return Ok(value);
    }
    if !is_declared(setting) {
        return Err(unavailable(setting, "this function reads it and does not declare it"));
    }
    let value: Rc<str> = match variables::get(setting.0).await {
        Ok(value) => value.into(),
        Err(Error::Undefined(_)) => {
            return Err(unavailable(setting, "spin.toml does not grant it to this component"));
        }
        Err(error) => return Err(unavailable(setting, error)),
    };
    VALUES.with_borrow_mut(|values| values.push((setting, value.clone())));
    Ok(value)
}

/// A setting's text where an empty one is of no use.
pub async fn required(setting: Setting) -> Result<Rc<str>, Problem> {
    let text = text(setting).await?;
    if text.is_empty() { Err(unavailable(setting, "must be set")) } else { Ok(text) }
}

/// A setting's value as a `T`.
pub async fn get<T: FromStr<Err: Display>>(setting: Setting) -> Result<T, Problem> {
    let text = text(setting).await?;
    text.parse().map_err(|error| unavailable(setting, format_args!("must be {error}")))
}

/// A setting's value, or `default` where its text makes no sense.
pub async fn or<T: FromStr>(setting: Setting, default: T) -> Result<T, Problem> {
    Ok(text(setting).await?.parse().unwrap_or(default))
}

/// A setting that is `on` or `off`.
pub async fn switch(setting: Setting) -> Result<bool, Problem> {
    match &*text(setting).await? {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(unavailable(setting, "must be on or off")),
    }
}

/// A setting that is `on` or `off`, or `default` where its text is neither.
pub async fn switch_or(setting: Setting, default: bool) -> Result<bool, Problem> {
    Ok(match &*text(setting).await? {
        "on" => true,
        "off" => false,
        _ => default,
    })
}

/// A whole number from `least` to `most`.
pub async fn number(setting: Setting, least: u64, most: u64) -> Result<u64, Problem> {
    let text = text(setting).await?;
    text.parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| unavailable(setting, format_args!("must be a whole number from {least} to {most}")))
}

/// A secret of at least 32 characters. Its text never comes near an error.
pub async fn secret(setting: Setting) -> Result<Rc<str>, Problem> {
    long_enough(setting, text(setting).await?, SECRET_LENGTH)
}

/// A secret of at least so many characters, or nothing where it is not set.
pub async fn secret_if_any(setting: Setting, least: usize) -> Result<Option<Rc<str>>, Problem> {
    let text = text(setting).await?;
    if text.is_empty() { Ok(None) } else { long_enough(setting, text, least).map(Some) }
}

fn long_enough(setting: Setting, text: Rc<str>, least: usize) -> Result<Rc<str>, Problem> {
    if text.len() < least {
        return Err(unavailable(setting, format_args!("must have at least {least} characters")));
    }
    Ok(text)
}

/// The problem of a setting that can't be used, for `cause`.
pub fn unavailable(setting: Setting, cause: impl Display) -> Problem {
    Problem::unavailable(format_args!("setting {}: {cause}", setting.0))
}

fn value_of(values: &[(Setting, Rc<str>)], setting: Setting) -> Option<Rc<str>> {
    values.iter().find(|(read, _)| *read == setting).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_the_variables_that_spin_toml_grants_common_ones_first() {
        let manifest = manifest::Manifest::read();
        let is_granted = |name: &&String| {
            let mut granted = manifest.components.iter().flat_map(|component| &component.granted);
            granted.any(|(granted, _)| granted == *name)
        };
        let granted: Vec<&String> = manifest.variables.iter().filter(is_granted).collect();
        assert_eq!(names(&[ALL]), granted);
        let first: Vec<Setting> = [COMMON, IDENTITY].concat();
        assert_eq!(ALL[..first.len()], first);
    }

    #[test]
    fn a_setting_that_is_not_declared_is_unavailable_and_named() {
        declare(&[&[LOG_REQUESTS], &[RISK_URL]]);
        assert!(is_declared(LOG_REQUESTS) && is_declared(RISK_URL) && !is_declared(RISK_TOKEN));
        // It ends before it asks the platform, so there is nothing to wait for.
        let mut reading = std::pin::pin!(text(RISK_TOKEN));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(Err(problem)) = reading.as_mut().poll(&mut context) else {
            panic!("the setting was read");
        };
        assert_eq!(problem.slug(), "unavailable");
        let cause = "setting risk_token: this function reads it and does not declare it";
        assert_eq!(problem.cause(), Some(cause));
    }
}
