//! Answers compared with the OpenAPI document that the system itself serves.

use std::collections::HashMap;
use std::sync::Mutex;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Answer;

/// The document, ready to judge.
pub struct Contract {
    document: Value,
    /// Compiled on first use, by the schema's place in the document.
    schemas: Mutex<HashMap<String, jsonschema::Validator>>,
}

impl Contract {
    pub fn read(document: Value) -> Contract {
        let version = document["openapi"].as_str().unwrap_or_default();
        assert!(version.starts_with("3.1"), "the OpenAPI document's version is `{version}`");
        Contract { document, schemas: Mutex::default() }
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    /// Panics when the answer is not one that the document knows. What the document does not describe at all
    /// (pages, unknown routes) is not judged.
    pub fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap_or_default();
        let Some((template, operations)) = self.find_path(path) else { return };
        let Some(operation) = operations.get(method.as_str().to_lowercase()) else {
            // HEAD is GET without a body, and OPTIONS a browser's question; any other method that is not described must be
            // refused.
            let is_permission = *method == Method::OPTIONS && answer.status == 204;
            assert!(
                *method == Method::HEAD || is_permission || matches!(answer.status, 405 | 404 | 501),
                "the document has no {method} {template}, but: {answer}"
            );
            return;
        };
        let responses = &operation["responses"];
        let (key, response) = [answer.status.to_string(), "default".to_owned()]
            .into_iter()
            .find_map(|key| responses.get(&key).map(|response| (key.clone(), response)))
            .unwrap_or_else(|| {
                panic!("the document does not know this answer of {method} {template}: {answer}")
            });
        let response = self.resolve(response);
        let Some(content) = response.get("content") else {
            assert!(answer.body.is_empty(), "the document says that there is no body: {answer}");
            return;
        };
        if answer.body.is_empty() && matches!(answer.status, 304) {
            return;
        }
        let media =
            answer.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        let described =
            content.get(media).unwrap_or_else(|| panic!("the document has no `{media}` here: {answer}"));
        if !media.ends_with("json") {
            return;
        }
        let place = format!("{method} {template} {key} {media}");
        self.judge(&place, &described["schema"], answer);
    }

    fn judge(&self, place: &str, schema: &Value, answer: &Answer) {
        let mut schemas = self.schemas.lock().expect("no test panics while it holds this");
        let validator = schemas.entry(place.to_owned()).or_insert_with(|| {
            // References in the document start at its root, so the root of the schema gets the same components.
            let mut root = json!({ "components": self.document["components"] });
            for (name, value) in schema.as_object().into_iter().flatten() {
                root[name] = value.clone();
            }
            jsonschema::draft202012::new(&root)
                .unwrap_or_else(|error| panic!("the schema of {place} is wrong: {error}"))
        });
        let body = answer.json();
        let errors: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        drop(schemas);
        assert!(errors.is_empty(), "not as the document says:\n{}\n{answer}", errors.join("\n"));
    }

    /// The path's template and operations; a template without parameters wins.
    fn find_path(&self, path: &str) -> Option<(&String, &Value)> {
        let paths = self.document["paths"].as_object().expect("the document has paths");
        if let Some(exact) = paths.get_key_value(path) {
            return Some(exact);
        }
        paths.iter().find(|(template, _)| {
            let (mut template, mut path) = (template.split('/'), path.split('/'));
            loop {
                match (template.next(), path.next()) {
                    (None, None) => return true,
                    (Some(part), Some(segment))
                        if part == segment || (part.starts_with('{') && !segment.is_empty()) => {}
                    _ => return false,
                }
            }
        })
    }

    /// Follows `{"$ref": "#/…"}`.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.trim_start_matches('#');
                let target = self.document.pointer(pointer);
                self.resolve(target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
            }
            None => value,
        }
    }
}
