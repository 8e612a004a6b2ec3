//! Strict JSON from outside: one reading for every text.
//!
//! A text that is no JSON is malformed. JSON that does not fit is invalid, and the answer names the field: a field
//! that is missing, unknown, given twice, of the wrong type or out of range. Two parsers can't read two meanings into what passes.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::SeqDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::http::problem::Problem;
use crate::http::query::clip;

/// How deep arrays and objects may nest. The contract's own bodies need two.
const DEPTH_LIMIT: usize = 8;

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

/// Reads `bytes` as one JSON object that is exactly a `T`. Fields that `T` would ignore are refused.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::malformed("The body is not UTF-8"))?;
    let value = read(text)?;
    if !matches!(value, Value::Object(_)) {
        return Err(Problem::malformed("The body must be one JSON object"));
    }
    T::deserialize(Strict { value }).map_err(|error| Problem::invalid(error.field(), error.message))
}

/// JSON as it was written, numbers and the order of fields included.
#[derive(Debug, Clone)]
enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Reads the syntax, and refuses a field given twice and nesting without end.
fn read(text: &str) -> Result<Value, Problem> {
    // serde's own error type has no room for our reasons, so they stand beside it.
    let refusal = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(text.as_bytes());
    let seed = Reader { depth: 0, path: "", refusal: &refusal };
    let result = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    result.map_err(|error| {
        refusal.into_inner().unwrap_or_else(|| {
            Problem::malformed(format!(
                "The body is not JSON: broken at line {}, column {}",
                error.line(),
                error.column()
            ))
        })
    })
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    depth: usize,
    path: &'a str,
    refusal: &'a RefCell<Option<Problem>>,
}

impl Reader<'_> {
    fn refuse<E: de::Error>(&self, problem: Problem) -> E {
        self.refusal.replace(Some(problem));
        E::custom("refused")
    }

    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth == DEPTH_LIMIT {
            let detail = format!("The body nests deeper than {DEPTH_LIMIT} levels");
            return Err(self.refuse(Problem::malformed(detail)));
        }
        Ok(self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(Reader { depth, ..self })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let path =
                if self.path.is_empty() { clip(&name) } else { format!("{}.{}", self.path, clip(&name)) };
            if fields.iter().any(|(present, _)| *present == name) {
                return Err(self.refuse(Problem::invalid(path, "is given twice")));
            }
            let value = map.next_value_seed(Reader { depth, path: &path, refusal: self.refusal })?;
            fields.push((name, value));
        }
        Ok(Value::Object(fields))
    }
}

/// Why a value does not fit, and the way to it, innermost name first.
#[derive(Debug)]
struct Mismatch {
    path: Vec<String>,
    message: String,
}

impl Mismatch {
    fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    fn inside(mut self, name: &str) -> Self {
        self.path.push(clip(name));
        self
    }

    fn field(&self) -> String {
        if self.path.is_empty() {
            return "body".to_owned();
        }
        self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.message)
    }
}

impl std::error::Error for Mismatch {}

impl de::Error for Mismatch {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(clip(&message.to_string()))
    }
    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }
    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }
    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(format!("must be {expected}"))
    }
    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("must be one of {}", expected.join(", ")))
    }
    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new("is not a field of this body").inside(field)
    }
    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").inside(field)
    }
    fn duplicate_field(field: &'static str) -> Self {
        Self::new("is given twice").inside(field)
    }
}

/// Hands a value to serde, keeping the path to what does not fit.
struct Strict {
    value: Value,
}

impl<'de> IntoDeserializer<'de, Mismatch> for Strict {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Strict {
    type Error = Mismatch;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Signed(value) => visitor.visit_i64(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(value) => visitor.visit_string(value),
            Value::Array(values) => {
                let values = values.into_iter().map(|value| Strict { value });
                let mut sequence = SeqDeserializer::new(values);
                let visited = visitor.visit_seq(&mut sequence)?;
                sequence.end()?;
                Ok(visited)
            }
            Value::Object(fields) => visitor.visit_map(Fields { rest: fields.into_iter(), next: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mismatch> {
        match self.value {
            Value::Text(name) => visitor.visit_enum(Word(name)),
            _ => Err(Mismatch::new(format!("must be one of {}", variants.join(", ")))),
        }
    }

    /// serde asks for this where a type has no such field: no field may be ignored.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Mismatch> {
        Err(Mismatch::new("is not a field of this body"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

/// The fields of an object; whatever goes wrong inside one is told with its name.
struct Fields {
    rest: std::vec::IntoIter<(String, Value)>,
    next: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Mismatch;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mismatch> {
        self.next = self.rest.next();
        match &self.next {
            None => Ok(None),
            Some((name, _)) => seed.deserialize(name.clone().into_deserializer()).map(Some),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Mismatch> {
        let Some((name, value)) = self.next.take() else {
            return Err(Mismatch::new("has no value"));
        };
        seed.deserialize(Strict { value }).map_err(|error| error.inside(&name))
    }
}

/// A word that names an enum's variant.
struct Word(String);

impl<'de> EnumAccess<'de> for Word {
    type Error = Mismatch;
    type Variant = Unit;
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Unit), Mismatch> {
        Ok((seed.deserialize(self.0.into_deserializer())?, Unit))
    }
}

/// A variant without content: the contract has no other.
struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = Mismatch;
    fn unit_variant(self) -> Result<(), Mismatch> {
        Ok(())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Mismatch> {
        Err(Mismatch::new("must be a plain word"))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Mismatch> {
        Err(Mismatch::new("must be a plain word"))
    }
    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Mismatch> {
        Err(Mismatch::new("must be a plain word"))
    }
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
