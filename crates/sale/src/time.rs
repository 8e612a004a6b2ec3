//! Moments, as the whole system speaks of them: milliseconds since 1970-01-01 UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment in milliseconds since the Unix epoch, UTC.
///
/// Its text form is RFC 3339 with exactly three decimals and `Z`: `2026-11-21T10:00:00.000Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text was not an RFC 3339 time between the years 1970 and 9999.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time: {0}")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// The last moment that the text form can carry, 9999-12-31T23:59:59.999Z.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999);

    pub const fn from_millis(millis: i64) -> Self {
        Timestamp(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Reads any RFC 3339 time, with any offset; what is finer than a millisecond is cut off.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp(text.chars().take(40).collect());
        let parsed = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid())?;
        let millis =
            i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000_000)).map_err(|_| invalid())?;
        if !(0..=Self::MAX.0).contains(&millis) {
            return Err(invalid());
        }
        Ok(Timestamp(millis))
    }

    /// This moment moved by `millis`, which may be negative.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Timestamp(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; negative when this one comes first.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = self.0.clamp(0, Self::MAX.0);
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(clamped) * 1_000_000)
            .map_err(|_| fmt::Error)?;
        let (year, month, day) = moment.to_calendar_date();
        let (hour, minute, second, milli) = moment.to_hms_milli();
        // The library's own formatting would cost every function 20 KiB for this one form.
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_has_three_decimals_and_comes_back() {
        let moment = Timestamp::from_millis(1_795_255_200_007);
        assert_eq!(moment.to_string(), "2026-11-21T10:00:00.007Z");
        assert_eq!(Timestamp::parse("2026-11-21T10:00:00.007Z"), Ok(moment));
        assert_eq!(Timestamp::parse("2026-11-21T18:00:00.0079+08:00"), Ok(moment));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "now", "2026-11-21", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z", "2026-11-21 10:00"]
        {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
