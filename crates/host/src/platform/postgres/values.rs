//! Converts between PostgreSQL's binary format and the values of `spin:postgres`.
//!
//! A parameter is accepted only for the types that Spin accepts it for (an `int64` for an `int8`, not for an `int4`).
//! So an application that runs here also runs on Spin. The code is written by hand, because it is smaller than the
//! libraries that it replaces.

use std::error::Error as StdError;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::bindings::spin::postgres::postgres::{
    DbDataType, DbValue, Interval, ParameterValue, RangeBoundKind,
};

/// Every error about a parameter begins with this text.
pub const BAD_PARAMETER: &str = "bad parameter";

const DAYS_1970_TO_2000: i64 = 10_957;
const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_A_SECOND: i64 = 1_000_000;

type Failure = Box<dyn StdError + Sync + Send>;

/// The interface's name for a column's type.
pub fn data_type(kind: &Type) -> DbDataType {
    match *kind {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        _ => DbDataType::Other(kind.name().to_owned()),
    }
}

/// Decodes the values of a row.
///
/// # Errors
/// Fails if the interface can't represent a value. The error names its column.
pub fn row_values(row: &Row) -> Result<Vec<DbValue>, String> {
    let columns = row.columns().iter().enumerate();
    columns
        .map(|(index, column)| match row.try_get::<_, Decoded>(index) {
            Ok(Decoded(value)) => Ok(value),
            Err(error) => Err(format!(
                "the column `{}` of type {}: {}",
                column.name(),
                column.type_().name(),
                error.source().map_or_else(|| error.to_string(), ToString::to_string)
            )),
        })
        .collect()
}

struct Decoded(DbValue);

impl<'a> FromSql<'a> for Decoded {
    fn from_sql(kind: &Type, bytes: &'a [u8]) -> Result<Self, Failure> {
        decode(kind, bytes).map(Self)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(DbValue::DbNull))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn decode(kind: &Type, bytes: &[u8]) -> Result<DbValue, Failure> {
    let mut reader = Reader(bytes);
    let value = match *kind {
        Type::BOOL => DbValue::Boolean(reader.array::<1>()? != [0]),
        Type::BYTEA => return Ok(DbValue::Binary(bytes.to_vec())),
        Type::FLOAT4 => DbValue::Floating32(f32::from_be_bytes(reader.array()?)),
        Type::FLOAT8 => DbValue::Floating64(f64::from_be_bytes(reader.array()?)),
        Type::INT2 => DbValue::Int16(i16::from_be_bytes(reader.array()?)),
        Type::INT4 => DbValue::Int32(reader.i32()?),
        Type::INT8 => DbValue::Int64(reader.i64()?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => return Ok(DbValue::Str(string(bytes)?)),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            let micros = reader.i64()?;
            let (date, time) = (micros.div_euclid(MICROS_A_DAY), micros.rem_euclid(MICROS_A_DAY));
            let ((year, month, day), (hour, minute, second, nano)) = (date_of(date)?, time_of(time)?);
            DbValue::Datetime((year, month, day, hour, minute, second, nano))
        }
        Type::DATE => DbValue::Date(date_of(reader.i32()?.into())?),
        Type::TIME => DbValue::Time(time_of(reader.i64()?)?),
        Type::UUID => DbValue::Uuid(uuid_text(reader.array()?)),
        Type::JSONB => {
            let [version] = reader.array()?;
            if version != 1 {
                return Err(format!("version {version} of jsonb is not known").into());
            }
            DbValue::Jsonb(reader.rest().to_vec())
        }
        Type::NUMERIC => DbValue::Decimal(decimal(&mut reader)?),
        Type::INT4_RANGE => DbValue::RangeInt32(range(&mut reader, |reader| reader.i32())?),
        Type::INT8_RANGE => DbValue::RangeInt64(range(&mut reader, |reader| reader.i64())?),
        Type::NUM_RANGE => DbValue::RangeDecimal(range(&mut reader, decimal)?),
        Type::INT4_ARRAY => DbValue::ArrayInt32(array(&mut reader, |reader| reader.i32())?),
        Type::INT8_ARRAY => DbValue::ArrayInt64(array(&mut reader, |reader| reader.i64())?),
        Type::NUMERIC_ARRAY => DbValue::ArrayDecimal(array(&mut reader, decimal)?),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            DbValue::ArrayStr(array(&mut reader, |reader| string(reader.rest()))?)
        }
        Type::INTERVAL => {
            let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
            DbValue::Interval(Interval { micros, days, months })
        }
        _ => return Ok(DbValue::Unsupported(bytes.to_vec())),
    };
    Ok(value)
}

/// Reads values one after the other from some bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or("the value is cut short")?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        Ok(self.bytes(N)?.try_into()?)
    }

    fn i16(&mut self) -> Result<i16, Failure> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, Failure> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, Failure> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn string(bytes: &[u8]) -> Result<String, Failure> {
    Ok(std::str::from_utf8(bytes)?.to_owned())
}

/// The year, month and day of a number of days since 2000-01-01, in the Gregorian calendar.
fn date_of(days: i64) -> Result<(i32, u8, u8), Failure> {
    if days == i64::from(i32::MAX) || days == i64::from(i32::MIN) || days.abs() > 1_000_000_000 {
        return Err("the interface can't represent an infinite date".into());
    }
    // Count years from March, so that the leap day comes last. The calendar repeats exactly every 400 years, an era.
    let shifted = days + DAYS_1970_TO_2000 + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Ok((i32::try_from(year)?, u8::try_from(month)?, u8::try_from(day)?))
}

/// The number of days since 2000-01-01.
fn days_of((year, month, day): (i32, u8, u8)) -> Result<i64, Failure> {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468 - DAYS_1970_TO_2000;
    // Convert back: a date that does not exist becomes another one.
    let exists = (1..=12).contains(&month)
        && date_of(days)? == (i32::try_from(year + i64::from(month <= 2))?, month, day);
    if exists { Ok(days) } else { Err(format!("{BAD_PARAMETER}: the date does not exist").into()) }
}

fn time_of(micros: i64) -> Result<(u8, u8, u8, u32), Failure> {
    let seconds = micros / MICROS_A_SECOND;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nano = u32::try_from(micros % MICROS_A_SECOND)? * 1000;
    Ok((u8::try_from(hour)?, u8::try_from(minute)?, u8::try_from(second)?, nano))
}

fn micros_of((hour, minute, second, nano): (u8, u8, u8, u32)) -> Result<i64, Failure> {
    if hour > 23 || minute > 59 || second > 59 || nano > 999_999_999 {
        return Err(format!("{BAD_PARAMETER}: the time does not exist").into());
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Ok(seconds * MICROS_A_SECOND + i64::from(nano / 1000))
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn uuid_bytes(text: &str) -> Result<Vec<u8>, Failure> {
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    let wrong = || format!("{BAD_PARAMETER}: `{text}` is not a UUID");
    if hex.len() != 32 || !hex.is_ascii() {
        return Err(wrong().into());
    }
    (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).map_err(|_| wrong().into()))
        .collect()
}

const POSITIVE: i16 = 0x0000;
const NEGATIVE: i16 = 0x4000;

/// Reads a number. Its digits are in base 10000, and the first stands for 10000 to the power of `weight`.
fn decimal(reader: &mut Reader<'_>) -> Result<String, Failure> {
    let (count, weight, sign, scale) = (reader.i16()?, reader.i16()?, reader.i16()?, reader.i16()?);
    if sign != POSITIVE && sign != NEGATIVE {
        return Err("the interface can't represent a number that is not finite".into());
    }
    let digits = (0..count).map(|_| reader.i16()).collect::<Result<Vec<_>, _>>()?;
    let digit =
        |position: i32| usize::try_from(position).ok().and_then(|at| digits.get(at)).copied().unwrap_or(0);
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    let mut whole = String::new();
    for position in 0..=i32::from(weight) {
        whole.push_str(&format!("{:04}", digit(position)));
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let scale = usize::try_from(scale)?;
        let mut fraction = String::new();
        let mut position = i32::from(weight) + 1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", digit(position)));
            position += 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Ok(text)
}

fn put_decimal(text: &str, out: &mut BytesMut) -> Result<(), Failure> {
    let wrong = || format!("{BAD_PARAMETER}: `{text}` is not a decimal number");
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (NEGATIVE, digits),
        None => (POSITIVE, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits || text.len() > 10_000 {
        return Err(wrong().into());
    }
    // Make groups of four digits, counted from the point in both directions.
    let left = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let right = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let groups = |text: &str| -> Result<Vec<i16>, Failure> {
        (0..text.len()).step_by(4).map(|at| text[at..at + 4].parse().map_err(Failure::from)).collect()
    };
    let mut weight = i16::try_from(left.len() / 4)? - 1;
    let mut digits = groups(&left)?;
    digits.extend(groups(&right)?);
    while digits.first() == Some(&0) {
        digits.remove(0);
        weight -= 1;
    }
    while digits.last() == Some(&0) {
        digits.pop();
    }
    let sign = if digits.is_empty() { POSITIVE } else { sign };
    let weight = if digits.is_empty() { 0 } else { weight };
    for number in [i16::try_from(digits.len())?, weight, sign, i16::try_from(fraction.len())?] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    digits.iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
    Ok(())
}

type Bound<T> = Option<(T, RangeBoundKind)>;

const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;

fn range<T>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Failure>,
) -> Result<(Bound<T>, Bound<T>), Failure> {
    let [flags] = reader.array()?;
    if flags & EMPTY != 0 {
        return Err("the interface can't represent an empty range".into());
    }
    let mut bound = |infinite: u8, inclusive: u8| -> Result<Bound<T>, Failure> {
        if flags & infinite != 0 {
            return Ok(None);
        }
        let length = usize::try_from(reader.i32()?)?;
        let value = item(&mut Reader(reader.bytes(length)?))?;
        let kind = if flags & inclusive != 0 { RangeBoundKind::Inclusive } else { RangeBoundKind::Exclusive };
        Ok(Some((value, kind)))
    };
    Ok((bound(LOWER_INFINITE, LOWER_INCLUSIVE)?, bound(UPPER_INFINITE, UPPER_INCLUSIVE)?))
}

fn put_range<T>(
    (lower, upper): &(Bound<T>, Bound<T>),
    out: &mut BytesMut,
    mut item: impl FnMut(&T, &mut BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let flag = |bound: &Bound<T>, infinite: u8, inclusive: u8| match bound {
        None => infinite,
        Some((_, RangeBoundKind::Inclusive)) => inclusive,
        Some((_, RangeBoundKind::Exclusive)) => 0,
    };
    out.extend_from_slice(&[
        flag(lower, LOWER_INFINITE, LOWER_INCLUSIVE) | flag(upper, UPPER_INFINITE, UPPER_INCLUSIVE)
    ]);
    for (value, _) in [lower, upper].into_iter().flatten() {
        put_sized(out, |out| item(value, out))?;
    }
    Ok(())
}

fn array<T>(
    reader: &mut Reader<'_>,
    mut item: impl FnMut(&mut Reader<'_>) -> Result<T, Failure>,
) -> Result<Vec<Option<T>>, Failure> {
    let (dimensions, _nulls, _member) = (reader.i32()?, reader.i32()?, reader.i32()?);
    if dimensions == 0 {
        return Ok(Vec::new());
    }
    if dimensions != 1 {
        return Err(format!("the interface can't represent an array of {dimensions} dimensions").into());
    }
    let (count, _first) = (reader.i32()?, reader.i32()?);
    (0..count)
        .map(|_| match usize::try_from(reader.i32()?) {
            Ok(length) => Ok(Some(item(&mut Reader(reader.bytes(length)?))?)),
            // The length of a null is -1.
            Err(_) => Ok(None),
        })
        .collect()
}

fn put_array<T>(
    kind: &Type,
    items: &[Option<T>],
    out: &mut BytesMut,
    mut put: impl FnMut(&T, &mut BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let Kind::Array(member) = kind.kind() else {
        return Err(format!("{BAD_PARAMETER}: not an array").into());
    };
    let has_null = i32::from(items.iter().any(Option::is_none));
    let dimensions = i32::from(!items.is_empty());
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&has_null.to_be_bytes());
    out.extend_from_slice(&member.oid().to_be_bytes());
    if items.is_empty() {
        return Ok(());
    }
    out.extend_from_slice(&i32::try_from(items.len())?.to_be_bytes());
    out.extend_from_slice(&1_i32.to_be_bytes());
    for item in items {
        match item {
            Some(item) => put_sized(out, |out| put(item, out))?,
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    Ok(())
}

/// Writes a value after its length.
fn put_sized(
    out: &mut BytesMut,
    put: impl FnOnce(&mut BytesMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    put(out)?;
    let length = i32::try_from(out.len() - start - 4)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A parameter of a statement.
#[derive(Debug)]
pub struct Parameter<'a>(pub &'a ParameterValue);

impl Parameter<'_> {
    /// Whether Spin accepts this value for a parameter of that type.
    fn fits(&self, kind: &Type) -> bool {
        let text = |kind: &Type| {
            matches!(*kind, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN)
                || ["citext", "ltree", "lquery", "ltxtquery"].contains(&kind.name())
        };
        match self.0 {
            ParameterValue::Boolean(_) => *kind == Type::BOOL,
            ParameterValue::Int8(_) => *kind == Type::CHAR,
            ParameterValue::Int16(_) => *kind == Type::INT2,
            ParameterValue::Int32(_) => *kind == Type::INT4,
            ParameterValue::Int64(_) => *kind == Type::INT8,
            ParameterValue::Floating32(_) => *kind == Type::FLOAT4,
            ParameterValue::Floating64(_) => *kind == Type::FLOAT8,
            ParameterValue::Str(_) => text(kind) || matches!(kind.kind(), Kind::Enum(_)),
            ParameterValue::Binary(_) => *kind == Type::BYTEA,
            ParameterValue::Date(_) => *kind == Type::DATE,
            ParameterValue::Time(_) => *kind == Type::TIME,
            ParameterValue::Datetime(_) | ParameterValue::Timestamp(_) => {
                matches!(*kind, Type::TIMESTAMP | Type::TIMESTAMPTZ)
            }
            ParameterValue::Uuid(_) => *kind == Type::UUID,
            ParameterValue::Jsonb(_) => matches!(*kind, Type::JSONB | Type::JSON),
            ParameterValue::Decimal(_) => *kind == Type::NUMERIC,
            ParameterValue::RangeInt32(_) => *kind == Type::INT4_RANGE,
            ParameterValue::RangeInt64(_) => *kind == Type::INT8_RANGE,
            ParameterValue::RangeDecimal(_) => *kind == Type::NUM_RANGE,
            ParameterValue::ArrayInt32(_) => *kind == Type::INT4_ARRAY,
            ParameterValue::ArrayInt64(_) => *kind == Type::INT8_ARRAY,
            ParameterValue::ArrayDecimal(_) => *kind == Type::NUMERIC_ARRAY,
            ParameterValue::ArrayStr(_) => matches!(kind.kind(), Kind::Array(member) if text(member)),
            ParameterValue::Interval(_) => *kind == Type::INTERVAL,
            ParameterValue::DbNull => true,
        }
    }

    fn put(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self.0 {
            ParameterValue::DbNull => return Ok(IsNull::Yes),
            ParameterValue::Boolean(value) => out.extend_from_slice(&[u8::from(*value)]),
            ParameterValue::Int8(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Int16(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Int32(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Int64(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Floating32(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Floating64(value) => out.extend_from_slice(&value.to_be_bytes()),
            ParameterValue::Str(value) => out.extend_from_slice(value.as_bytes()),
            ParameterValue::Binary(value) => out.extend_from_slice(value),
            ParameterValue::Date(date) => {
                out.extend_from_slice(&i32::try_from(days_of(*date)?)?.to_be_bytes())
            }
            ParameterValue::Time(time) => out.extend_from_slice(&micros_of(*time)?.to_be_bytes()),
            ParameterValue::Datetime((year, month, day, hour, minute, second, nano)) => {
                let days = days_of((*year, *month, *day))?;
                let micros = micros_of((*hour, *minute, *second, *nano))?;
                let whole = days.checked_mul(MICROS_A_DAY).and_then(|days| days.checked_add(micros));
                out.extend_from_slice(&whole.ok_or_else(out_of_range)?.to_be_bytes());
            }
            ParameterValue::Timestamp(seconds) => {
                let since_2000 = seconds.checked_sub(DAYS_1970_TO_2000 * 86_400);
                let micros = since_2000.and_then(|seconds| seconds.checked_mul(MICROS_A_SECOND));
                out.extend_from_slice(&micros.ok_or_else(out_of_range)?.to_be_bytes());
            }
            ParameterValue::Uuid(text) => out.extend_from_slice(&uuid_bytes(text)?),
            ParameterValue::Jsonb(json) => {
                if *kind == Type::JSONB {
                    out.extend_from_slice(&[1]);
                }
                out.extend_from_slice(json);
            }
            ParameterValue::Decimal(text) => put_decimal(text, out)?,
            ParameterValue::RangeInt32(value) => {
                put_range(value, out, |number, out| put_bytes(out, &number.to_be_bytes()))?
            }
            ParameterValue::RangeInt64(value) => {
                put_range(value, out, |number, out| put_bytes(out, &number.to_be_bytes()))?
            }
            ParameterValue::RangeDecimal(value) => put_range(value, out, |text, out| put_decimal(text, out))?,
            ParameterValue::ArrayInt32(items) => {
                put_array(kind, items, out, |number, out| put_bytes(out, &number.to_be_bytes()))?;
            }
            ParameterValue::ArrayInt64(items) => {
                put_array(kind, items, out, |number, out| put_bytes(out, &number.to_be_bytes()))?;
            }
            ParameterValue::ArrayDecimal(items) => {
                put_array(kind, items, out, |text, out| put_decimal(text, out))?
            }
            ParameterValue::ArrayStr(items) => {
                put_array(kind, items, out, |text, out| put_bytes(out, text.as_bytes()))?
            }
            ParameterValue::Interval(Interval { micros, days, months }) => {
                out.extend_from_slice(&micros.to_be_bytes());
                out.extend_from_slice(&days.to_be_bytes());
                out.extend_from_slice(&months.to_be_bytes());
            }
        }
        Ok(IsNull::No)
    }
}

fn out_of_range() -> Failure {
    format!("{BAD_PARAMETER}: the time is out of range").into()
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) -> Result<(), Failure> {
    out.extend_from_slice(bytes);
    Ok(())
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        if !self.fits(kind) {
            return Err(format!(
                "{BAD_PARAMETER}: {:?} does not go into a parameter of type {}",
                self.0,
                kind.name()
            )
            .into());
        }
        self.put(kind, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(kind: &Type, parameter: &ParameterValue) -> String {
        let mut bytes = BytesMut::new();
        match Parameter(parameter).to_sql(kind, &mut bytes).unwrap() {
            IsNull::Yes => format!("{:?}", DbValue::DbNull),
            IsNull::No => format!("{:?}", decode(kind, &bytes).unwrap()),
        }
    }

    #[test]
    fn values_of_all_kinds_come_back_unchanged() {
        let one = |kind: Type, parameter: ParameterValue| {
            let expected = format!("{parameter:?}").replace("ParameterValue", "DbValue");
            assert_eq!(there_and_back(&kind, &parameter), expected);
        };
        one(Type::BOOL, ParameterValue::Boolean(true));
        one(Type::INT2, ParameterValue::Int16(-2));
        one(Type::INT4, ParameterValue::Int32(i32::MIN));
        one(Type::INT8, ParameterValue::Int64(i64::MAX));
        one(Type::FLOAT4, ParameterValue::Floating32(1.5));
        one(Type::FLOAT8, ParameterValue::Floating64(-0.25));
        one(Type::TEXT, ParameterValue::Str("价".into()));
        one(Type::BYTEA, ParameterValue::Binary(vec![0, 255]));
        one(Type::JSONB, ParameterValue::Jsonb(b"{\"a\":1}".to_vec()));
        one(Type::UUID, ParameterValue::Uuid("01234567-89ab-cdef-0123-456789abcdef".into()));
        for date in [
            (2026, 11, 21),
            (1970, 1, 1),
            (2000, 2, 29),
            (1999, 12, 31),
            (1, 1, 1),
            (-4712, 3, 1),
            (9999, 12, 31),
        ] {
            one(Type::DATE, ParameterValue::Date(date));
        }
        one(Type::TIME, ParameterValue::Time((23, 59, 59, 999_999_000)));
        one(Type::TIMESTAMPTZ, ParameterValue::Datetime((2026, 11, 21, 10, 0, 0, 1_000)));
        one(Type::TIMESTAMP, ParameterValue::Datetime((1969, 12, 31, 23, 59, 59, 0)));
        for number in
            ["0", "1", "-1", "10000", "123456789.000100", "-0.00001", "0.10", "99999999999999999999.5"]
        {
            one(Type::NUMERIC, ParameterValue::Decimal(number.into()));
        }
        let bound = |number| Some((number, RangeBoundKind::Inclusive));
        one(Type::INT4_RANGE, ParameterValue::RangeInt32((bound(1), Some((5, RangeBoundKind::Exclusive)))));
        one(Type::INT8_RANGE, ParameterValue::RangeInt64((None, None)));
        one(
            Type::NUM_RANGE,
            ParameterValue::RangeDecimal((Some(("1.5".into(), RangeBoundKind::Exclusive)), None)),
        );
        one(Type::INT4_ARRAY, ParameterValue::ArrayInt32(vec![Some(1), None, Some(-3)]));
        one(Type::INT8_ARRAY, ParameterValue::ArrayInt64(vec![]));
        one(Type::NUMERIC_ARRAY, ParameterValue::ArrayDecimal(vec![Some("2.50".into())]));
        one(Type::TEXT_ARRAY, ParameterValue::ArrayStr(vec![Some("a".into()), Some(String::new()), None]));
        one(Type::INTERVAL, ParameterValue::Interval(Interval { micros: -1, days: 2, months: 3 }));
        one(Type::INT8, ParameterValue::DbNull);
    }

    #[test]
    fn a_timestamp_counts_seconds_since_1970() {
        let shown = there_and_back(&Type::TIMESTAMPTZ, &ParameterValue::Timestamp(951_782_400));
        assert!(shown.contains("(2000, 2, 29, 0, 0, 0, 0)"), "{shown}");
    }

    #[test]
    fn a_value_that_its_type_can_not_hold_is_a_bad_parameter() {
        for (kind, parameter) in [
            (Type::INT4, ParameterValue::Int64(1)),
            (Type::INT8, ParameterValue::Str("1".into())),
            (Type::DATE, ParameterValue::Date((2026, 2, 29))),
            (Type::DATE, ParameterValue::Date((2026, 13, 1))),
            (Type::TIME, ParameterValue::Time((24, 0, 0, 0))),
            (Type::UUID, ParameterValue::Uuid("x".into())),
            (Type::NUMERIC, ParameterValue::Decimal("1e5".into())),
            (Type::NUMERIC, ParameterValue::Decimal("-".into())),
        ] {
            let error = Parameter(&parameter).to_sql(&kind, &mut BytesMut::new()).err().unwrap();
            assert!(error.to_string().starts_with(BAD_PARAMETER), "{error}");
        }
    }

    #[test]
    fn a_value_that_the_interface_can_not_represent_is_an_error_or_raw_bytes() {
        assert!(decode(&Type::INT4_RANGE, &[EMPTY]).is_err());
        assert!(decode(&Type::INT8, &[1, 2]).is_err());
        assert!(decode(&Type::NUMERIC, &[0, 0, 0, 0, 0xC0, 0, 0, 0]).is_err());
        assert!(matches!(decode(&Type::INET, &[1]).unwrap(), DbValue::Unsupported(bytes) if bytes == [1]));
    }
}
