//! A request's headers, as the platform hands them over.
//!
//! The SDK would parse them all into the `http` crate's map, on every request. A handler needs two or three of them, by
//! names that it knows.

/// Names and values in the order of the request. The platform has checked both.
#[derive(Debug, Clone, Default)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The headers that the platform copied out.
    pub fn new(fields: Vec<(String, Vec<u8>)>) -> Self {
        Self(fields)
    }

    /// The first value under a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(present, _)| present.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// Every value under a name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let named = move |(present, _): &&'a (String, Vec<u8>)| present.eq_ignore_ascii_case(name);
        self.0.iter().filter(named).map(|(_, value)| value.as_slice())
    }

    /// Every value under a name that is plain text, in order.
    pub fn texts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all(name).filter_map(text)
    }
}

/// A value as text, if it is visible ASCII, spaces and tabs. We compare and parse nothing else.
pub(crate) fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

/// The entry of a list header that the nearest proxy added: the last one.
pub(crate) fn last_entry(list: Option<&str>) -> Option<&str> {
    list.and_then(|list| list.rsplit(',').next()).map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(fields: [(&str, &str); N]) -> Self {
        Self(fields.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_know_no_case_and_values_keep_their_order() {
        let headers = Headers::from([("cookie", "a=1"), ("Host", "shop"), ("cookie", "b=2")]);
        assert_eq!(headers.get("host"), Some(&b"shop"[..]));
        assert_eq!(headers.get("cookie"), Some(&b"a=1"[..]));
        assert_eq!(headers.texts("Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(headers.get("origin"), None);
    }

    #[test]
    fn what_is_no_plain_text_is_not_read_as_text() {
        assert_eq!(text(b"a\tb ~"), Some("a\tb ~"));
        for odd in [&b"caf\xc3\xa9"[..], b"\xff", b"a\x7f", b"a\0"] {
            assert_eq!(text(odd), None, "{odd:?}");
        }
    }
}
