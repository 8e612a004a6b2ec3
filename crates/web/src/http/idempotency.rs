//! The header `Idempotency-Key`, as the IETF's draft has it: a caller who sends a change again under the same key gets the
//! first answer, and the change is made once.

use crate::http::headers::Headers;
use crate::http::problem::Problem;

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MOST_KEY: usize = 128;

/// The key of a request, if it has one: a string in quotation marks as the draft asks for, or the same without them.
pub fn key(headers: &Headers) -> Result<Option<String>, Problem> {
    let wrong = || {
        let message = format!("must be 1 to {MOST_KEY} visible ASCII characters, given once");
        Problem::invalid("Idempotency-Key", message)
    };
    let mut values = headers.all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong());
    }
    let text = std::str::from_utf8(value).map_err(|_| wrong())?.trim_matches([' ', '\t']);
    let key = match text.strip_prefix('"') {
        Some(rest) => unquoted(rest).ok_or_else(wrong)?,
        None => text.to_owned(),
    };
    let fits = (1..=MOST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Some(key)) } else { Err(wrong()) }
}

/// What stands between quotation marks (RFC 9651, section 3.3.3); `rest` follows the opening one.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => key.push(characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            other => key.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_and_without_quotation_marks() {
        assert_eq!(key(&Headers::default()), Ok(None));
        let longest = "k".repeat(MOST_KEY);
        for (value, expected) in [
            ("8e03978e-40d5", "8e03978e-40d5"),
            ("\"8e03978e-40d5\"", "8e03978e-40d5"),
            ("  \"a\\\"b\\\\c\" ", "a\"b\\c"),
            (longest.as_str(), longest.as_str()),
        ] {
            let headers = Headers::from([("Idempotency-Key", value)]);
            assert_eq!(key(&headers), Ok(Some(expected.to_owned())), "{value}");
        }
    }

    #[test]
    fn any_other_key_is_refused_by_name() {
        let too_long = "k".repeat(MOST_KEY + 1);
        for value in ["", "\"\"", "a b", "\"a", "\"a\"b", "\"a\\b\"", "\"a b\"", "ключ", too_long.as_str()]
        {
            let refusal = key(&Headers::from([("idempotency-key", value)]));
            assert!(
                matches!(&refusal, Err(Problem::Invalid { fields }) if fields[0].field == "Idempotency-Key"),
                "{value}: {refusal:?}"
            );
        }
        let twice = Headers::from([("idempotency-key", "a"), ("idempotency-key", "a")]);
        assert!(key(&twice).is_err());
    }
}
