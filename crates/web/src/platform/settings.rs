//! Spin's variables, typed. Each is read once in an instance's life; an instance lives for seconds.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::str::FromStr;

use spin_sdk::variables::{self, Error};

use crate::http::problem::Problem;

/// Shorter secrets could be guessed.
const SECRET_LENGTH: usize = 32;

thread_local! {
    /// A dozen at most: looking through them is quicker than hashing a name.
    static VALUES: RefCell<Vec<(&'static str, Rc<str>)>> = const { RefCell::new(Vec::new()) };
}

/// A variable's text; empty where the manifest does not grant it to the component.
pub async fn text(name: &'static str) -> Result<Rc<str>, Problem> {
    read(name).await.map_err(|error| Problem::unavailable(format_args!("setting {name}: {error}")))
}

/// A variable's text where an empty one is of no use.
pub async fn required(name: &'static str) -> Result<Rc<str>, Problem> {
    let text = text(name).await?;
    if text.is_empty() {
        return Err(Problem::unavailable(format_args!("setting {name}: must be set")));
    }
    Ok(text)
}

/// A variable's value as a `T`.
pub async fn get<T: FromStr<Err: Display>>(name: &'static str) -> Result<T, Problem> {
    let text = text(name).await?;
    text.parse().map_err(|error| Problem::unavailable(format_args!("setting {name}: must be {error}")))
}

/// A variable's value, or `default` where the component was not granted it or its value makes no sense.
pub async fn or<T: FromStr>(name: &'static str, default: T) -> T {
    match read(name).await {
        Ok(text) => text.parse().unwrap_or(default),
        Err(_) => default,
    }
}

/// A variable that is `on` or `off`.
pub async fn switch(name: &'static str) -> Result<bool, Problem> {
    match &*text(name).await? {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Problem::unavailable(format_args!("setting {name}: must be on or off"))),
    }
}

/// A whole number from `least` to `most`.
pub async fn number(name: &'static str, least: u64, most: u64) -> Result<u64, Problem> {
    let text = text(name).await?;
    text.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        Problem::unavailable(format_args!("setting {name}: must be a whole number from {least} to {most}"))
    })
}

/// A secret of at least 32 characters. Its text never comes near an error.
pub async fn secret(name: &'static str) -> Result<Rc<str>, Problem> {
    let text = text(name).await?;
    if text.len() < SECRET_LENGTH {
        let cause = format_args!("setting {name}: must have at least {SECRET_LENGTH} characters").to_string();
        return Err(Problem::unavailable(cause));
    }
    Ok(text)
}

async fn read(name: &'static str) -> Result<Rc<str>, Error> {
    if let Some(value) = VALUES.with_borrow(|values| known(values, name)) {
        return Ok(value);
    }
    let value: Rc<str> = match variables::get(name).await {
        Ok(value) => value.into(),
        // Not granted, which won't change either; the empty text is no value that a typed reader takes.
        Err(Error::Undefined(_)) => "".into(),
        Err(error) => return Err(error),
    };
    VALUES.with_borrow_mut(|values| values.push((name, value.clone())));
    Ok(value)
}

fn known(values: &[(&'static str, Rc<str>)], name: &str) -> Option<Rc<str>> {
    values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}
