//! Strict JSON from outside: one reading for every text, so that two parsers can't read two meanings into it.
//!
//! A text that is no JSON is malformed. JSON that does not fit is invalid, and the refusal names the field: one that is
//! missing, unknown, given twice, of the wrong type or out of range.
//!
//! serde reads the types and `serde_path_to_error` finds the field. By hand is only what they can't do:
//!
//! - A field given twice is refused wherever it stands, also where a type would take the last one (`value`).
//! - A field that a type would ignore is refused, also where the type forgot `deny_unknown_fields` (`strict`).
//! - A variant is a word. serde_json would also read `{"queued": null}` as the word `queued` (`strict`).
//! - Refusals have our words, and none repeats the input at length. An error of serde_json has only a text (`strict`).

mod strict;
mod value;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::http::problem::Problem;
use crate::http::query::clip;
use strict::Strict;
use value::Value;

/// Reads `bytes` as one JSON object that is exactly a `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::malformed("The body is not UTF-8"))?;
    let value = value::read(text)?;
    if !matches!(value, Value::Object(_)) {
        return Err(Problem::malformed("The body must be one JSON object"));
    }
    serde_path_to_error::deserialize(Strict(value)).map_err(|error| {
        let names = error.path().iter().filter_map(|segment| match segment {
            Segment::Map { key } => Some(clip(key)),
            _ => None,
        });
        let mut names: Vec<String> = names.collect();
        let mismatch = error.into_inner();
        names.extend(mismatch.missing.map(str::to_owned));
        let field = if names.is_empty() { "body".to_owned() } else { names.join(".") };
        Problem::invalid(field, mismatch.message)
    })
}

/// 415 unless the body says that it is JSON in UTF-8.
pub fn check_media_type(content_type: Option<&str>) -> Result<(), Problem> {
    let expected = Problem::UnsupportedMediaType { expected: "application/json" };
    let Some(content_type) = content_type else { return Err(expected) };
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(expected);
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return Err(expected);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sale::money::Money;
    use sale::time::Timestamp;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Queued,
        Instant,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Body {
        title: String,
        quantity: u32,
        mode: Option<Mode>,
        price: Option<Money>,
        starts_at: Option<Timestamp>,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn refused(text: &str) -> (String, String) {
        match parse::<Body>(text.as_bytes()) {
            Err(Problem::Invalid { fields }) => (fields[0].field.clone(), fields[0].message.clone()),
            Err(Problem::Malformed { .. }) => ("malformed".to_owned(), String::new()),
            other => panic!("{text} gave {other:?}"),
        }
    }

    #[test]
    fn what_fits_is_read() {
        let body: Body = parse(
            br#"{"title":"\u4e2d","quantity":2,"mode":"instant","price":{"amount":1,"currency":"CNY"},"starts_at":"2026-11-21T10:00:00Z","tags":["a"]}"#,
        )
        .unwrap();
        assert_eq!(body.title, "中");
        assert_eq!(body.mode, Some(Mode::Instant));
        assert_eq!(body.starts_at.unwrap().to_string(), "2026-11-21T10:00:00.000Z");
        assert_eq!(parse::<Body>(br#"{"title":"a","quantity":1,"mode":null}"#).unwrap().mode, None);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        for (text, field) in [
            (r#"{"title":"a"}"#, "quantity"),
            (r#"{"title":"a","quantity":"1"}"#, "quantity"),
            (r#"{"title":"a","quantity":-1}"#, "quantity"),
            (r#"{"title":"a","quantity":1.5}"#, "quantity"),
            (r#"{"title":"a","quantity":1e3}"#, "quantity"),
            (r#"{"title":"a","quantity":4294967296}"#, "quantity"),
            (r#"{"title":"a","quantity":18446744073709551616}"#, "quantity"),
            (r#"{"title":"a","quantity":null}"#, "quantity"),
            (r#"{"title":1,"quantity":1}"#, "title"),
            (r#"{"title":"a","quantity":1,"extra":0}"#, "extra"),
            (r#"{"title":"a","quantity":1,"quantity":1}"#, "quantity"),
            (r#"{"title":"a","quantity":1,"mode":"fast"}"#, "mode"),
            (r#"{"title":"a","quantity":1,"mode":{"queued":1}}"#, "mode"),
            (r#"{"title":"a","quantity":1,"price":{"amount":1}}"#, "price.currency"),
            (r#"{"title":"a","quantity":1,"price":{"amount":1,"currency":"cny"}}"#, "price.currency"),
            (r#"{"title":"a","quantity":1,"price":{"amount":1,"currency":"CNY","x":1}}"#, "price.x"),
            (r#"{"title":"a","quantity":1,"price":{"amount":1,"amount":1}}"#, "price.amount"),
            (r#"{"title":"a","quantity":1,"starts_at":"soon"}"#, "starts_at"),
            (r#"{"title":"a","quantity":1,"tags":{}}"#, "tags"),
        ] {
            assert_eq!(refused(text).0, field, "{text}");
        }
        assert_eq!(
            refused(r#"{"title":"a","quantity":1,"mode":"fast"}"#).1,
            "must be one of queued, instant"
        );
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        let deep = format!(r#"{{"title":{}1{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
        for text in [
            "",
            "{",
            "[]",
            "null",
            "1",
            r#"{"title":"a","quantity":1}x"#,
            r#"{"title":"\ud800"}"#,
            "{'a':1}",
            &deep,
        ] {
            assert_eq!(refused(text).0, "malformed", "{text}");
        }
        assert!(matches!(parse::<Body>(b"{\"title\":\"\xff\"}"), Err(Problem::Malformed { .. })));
    }

    #[test]
    fn only_json_in_utf_8_is_taken() {
        for good in
            ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf-8\""]
        {
            assert!(check_media_type(Some(good)).is_ok(), "{good}");
        }
        for bad in [
            None,
            Some("text/plain"),
            Some("application/json; charset=latin1"),
            Some("application/jsonp"),
            Some(""),
        ] {
            assert!(check_media_type(bad).is_err(), "{bad:?}");
        }
    }
}
