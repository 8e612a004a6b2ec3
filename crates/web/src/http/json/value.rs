//! The syntax of JSON, read into a tree that keeps every field as it was written.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::http::problem::Problem;
use crate::http::query::clip;

/// How deep arrays and objects may nest. The contract's own bodies need two.
const MOST_DEPTH: usize = 8;

/// JSON as it was written, numbers and the order of fields included.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Reads the syntax. Refuses a field that is given twice, and nesting without end.
pub(super) fn read(text: &str) -> Result<Value, Problem> {
    // serde_json's error has no room for our own reasons, so they stand beside it.
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
        if self.depth == MOST_DEPTH {
            let detail = format!("The body nests deeper than {MOST_DEPTH} levels");
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
