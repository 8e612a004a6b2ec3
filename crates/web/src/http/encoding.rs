//! Chooses the encoding that the client prefers among those that we have (RFC 9110, section 12.5.3).

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// Brotli.
    Brotli,
}

impl Encoding {
    /// The word of the header `Content-Encoding`, which plain bytes don't have.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// The best of plain bytes and `available`, by the client's weights; at the same weight the shortest, which comes
/// first. Where the client refuses everything, plain bytes are still better than none.
pub fn choose(accept: Option<&str>, available: &[Encoding]) -> Encoding {
    let Some(accept) = accept else { return Encoding::Identity };
    let mut best = (Encoding::Identity, weight(accept, "identity").unwrap_or(0));
    // If the client does not name identity, it comes last.
    for &encoding in available {
        let word = encoding.word().unwrap_or("identity");
        let weight = weight(accept, word).or_else(|| weight(accept, "*")).unwrap_or(0);
        let better = weight > best.1 || (weight == best.1 && weight > 0 && best.0 == Encoding::Identity);
        if better {
            best = (encoding, weight);
        }
    }
    best.0
}

/// The weight of `word` in thousandths, if the list names it.
fn weight(accept: &str, word: &str) -> Option<u16> {
    accept.split(',').find_map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next()?;
        let same = name.eq_ignore_ascii_case(word) || (word == "gzip" && name.eq_ignore_ascii_case("x-gzip"));
        if !same {
            return None;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(quality.map_or(1_000, thousandths))
    })
}

/// Reads `0.5` as 500: one digit, and at most three after a point. Any other text counts as no weight.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 1 || fraction.len() > 3 || !is_number(whole) || !is_number(fraction) {
        return 0;
    }
    format!("{whole}{fraction:0<3}").parse().ok().filter(|weight| *weight <= 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Encoding::{Brotli, Gzip, Identity};

    #[test]
    fn the_weights_of_the_client_decide_and_then_the_size() {
        let both = [Brotli, Gzip];
        for (accept, chosen) in [
            ("gzip, deflate, br, zstd", Brotli),
            ("gzip", Gzip),
            ("GZIP;q=0.5, BR;q=0.4", Gzip),
            ("br;q=0.9, gzip;q=0.9", Brotli),
            ("br;q=0, gzip", Gzip),
            ("br;q=0, *", Gzip),
            ("*", Brotli),
            ("*;q=0", Identity),
            ("identity", Identity),
            ("identity, gzip;q=0.5", Identity),
            ("identity;q=0.5, gzip", Gzip),
            ("identity;q=0, gzip;q=0", Identity),
            ("gzip;q=banana", Identity),
            ("gzip;q=2", Identity),
            ("gzip;q=1.001", Identity),
            ("gzip;q=-1", Identity),
            ("br;q=0.05, gzip;q=0.2", Gzip),
            ("br;q=1.000, gzip;q=0.999", Brotli),
            ("deflate", Identity),
            ("", Identity),
            ("brotli, gzippy", Identity),
        ] {
            assert_eq!(choose(Some(accept), &both), chosen, "{accept}");
        }
        assert_eq!(choose(None, &both), Identity);
        assert_eq!(choose(Some("br"), &[]), Identity);
    }
}
