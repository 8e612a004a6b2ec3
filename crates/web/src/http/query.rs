//! Query parameters. Each may be given once, and the route must know it.

use std::borrow::Cow;

use crate::http::problem::{FieldError, Problem};

/// The most characters of a search. Every published text is compared with them.
const MOST_SOUGHT: usize = 200;

/// The parameters of one request.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: usize,
    /// 1 to 100.
    pub size: usize,
}

impl Page {
    /// The items of this page.
    pub fn slice<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let start = (self.number - 1).saturating_mul(self.size).min(all.len());
        let end = start.saturating_add(self.size).min(all.len());
        &all[start..end]
    }
}

impl Query {
    /// Reads `a=b&c=d`. Broken percent-encoding is malformed; a parameter given twice is invalid.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if pairs.iter().any(|(present, _)| *present == name) {
                return Err(Problem::invalid(clip(&name), "may be given once"));
            }
            pairs.push((name.into_owned(), decode(value)?.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// A parameter as it was written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(present, _)| present == name).map(|(_, value)| value.as_str())
    }

    /// `q`, the text to search for, of at most [`MOST_SOUGHT`] characters. Empty if it is not given.
    pub fn sought(&self) -> Result<&str, Problem> {
        let sought = self.get("q").unwrap_or("");
        if sought.chars().nth(MOST_SOUGHT).is_some() {
            return Err(Problem::invalid("q", format!("may have at most {MOST_SOUGHT} characters")));
        }
        Ok(sought)
    }

    /// Refuses parameters other than `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown: Vec<FieldError> = self
            .pairs
            .iter()
            .filter(|(name, _)| !known.contains(&name.as_str()))
            .map(|(name, _)| FieldError::new(clip(name), "is not a parameter of this route"))
            .collect();
        if unknown.is_empty() { Ok(()) } else { Err(Problem::Invalid { fields: unknown }) }
    }

    /// `page` from 1 and `page_size` from 1 to 100, by default 1 and 10.
    pub fn page(&self) -> Result<Page, Problem> {
        let number = self.whole_number("page", 1, 1_000_000_000);
        let size = self.whole_number("page_size", 10, 100);
        match (number, size) {
            (Ok(number), Ok(size)) => Ok(Page { number, size }),
            (number, size) => {
                Err(Problem::Invalid { fields: [number.err(), size.err()].into_iter().flatten().collect() })
            }
        }
    }

    fn whole_number(&self, name: &str, default: usize, most: usize) -> Result<usize, FieldError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        // `parse` alone would take a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && (1..=most).contains(number))
            .ok_or_else(|| FieldError::new(name, format!("must be a whole number from 1 to {most}")))
    }
}

/// Undoes percent-encoding and `+` for a space.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(Cow::Borrowed(text));
    }
    let broken = || Problem::malformed("The query's percent-encoding is broken");
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let mut nibble =
                    || bytes.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(broken);
                let value = nibble()? * 16 + nibble()?;
                decoded.push(u8::try_from(value).map_err(|_| broken())?);
            }
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| broken())
}

/// The first 64 characters of a caller's text: more is not repeated to them.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(text: &str) -> Result<Page, Problem> {
        Query::parse(text)?.page()
    }

    #[test]
    fn pages_have_defaults_and_bounds() {
        assert_eq!(page_of(""), Ok(Page { number: 1, size: 10 }));
        assert_eq!(page_of("page=3&page_size=100"), Ok(Page { number: 3, size: 100 }));
        for bad in
            ["page=0", "page=-1", "page=+1", "page=", "page=x", "page=1.5", "page=99999999999999999999"]
        {
            assert!(
                matches!(page_of(bad), Err(Problem::Invalid { fields }) if fields[0].field == "page"),
                "{bad}"
            );
        }
        for bad in ["page_size=0", "page_size=101"] {
            assert!(
                matches!(page_of(bad), Err(Problem::Invalid { fields }) if fields[0].field == "page_size")
            );
        }
    }

    #[test]
    fn a_page_beyond_the_end_is_empty() {
        let all = [1, 2, 3, 4, 5];
        assert_eq!(Page { number: 2, size: 2 }.slice(&all), [3, 4]);
        assert_eq!(Page { number: 3, size: 2 }.slice(&all), [5]);
        assert!(Page { number: 1_000_000_000, size: 100 }.slice(&all).is_empty());
    }

    #[test]
    fn text_is_decoded_and_broken_encoding_refused() {
        assert_eq!(Query::parse("q=a+b%20%E4%B8%AD").unwrap().get("q"), Some("a b 中"));
        for bad in ["q=%", "q=%2", "q=%zz", "q=%ff", "q=%+1"] {
            assert!(matches!(Query::parse(bad), Err(Problem::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn a_search_has_an_end() {
        assert_eq!(Query::parse("").unwrap().sought(), Ok(""));
        let longest = "中".repeat(MOST_SOUGHT);
        assert_eq!(Query::parse(&format!("q={longest}")).unwrap().sought(), Ok(longest.as_str()));
        let longer = Query::parse(&format!("q={longest}x")).unwrap();
        assert!(matches!(longer.sought(), Err(Problem::Invalid { fields }) if fields[0].field == "q"));
    }

    #[test]
    fn twice_or_unknown_is_named() {
        assert!(
            matches!(Query::parse("q=1&q=2"), Err(Problem::Invalid { fields }) if fields[0].field == "q")
        );
        let query = Query::parse("q=1&sort=up").unwrap();
        assert!(matches!(query.only(&["q"]), Err(Problem::Invalid { fields }) if fields[0].field == "sort"));
        assert!(query.only(&["q", "sort"]).is_ok());
    }
}
