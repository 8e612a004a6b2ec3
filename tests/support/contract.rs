//! Compares responses with the OpenAPI document that the system itself serves.

use std::collections::HashMap;
use std::sync::Mutex;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Response;

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

    /// Panics when the document does not know the response. Paths that the document does not describe at all (pages,
    /// unknown routes) are not judged.
    pub fn check(&self, method: &Method, path: &str, response: &Response) {
        let path = path.split('?').next().unwrap_or_default();
        let Some((template, operations)) = self.find_path(path) else { return };
        let Some(operation) = operations.get(method.as_str().to_lowercase()) else {
            // HEAD is GET without a body, and OPTIONS a browser's question; any other method that is not described must be
            // refused.
            let is_permission = *method == Method::OPTIONS && response.status == 204;
            assert!(
                *method == Method::HEAD || is_permission || matches!(response.status, 405 | 404 | 501),
                "the document has no {method} {template}, but: {response}"
            );
            return;
        };
        let responses = &operation["responses"];
        let (key, described) = [response.status.to_string(), "default".to_owned()]
            .into_iter()
            .find_map(|key| responses.get(&key).map(|described| (key.clone(), described)))
            .unwrap_or_else(|| {
                panic!("the document does not know this response of {method} {template}: {response}")
            });
        let described = self.resolve(described);
        let Some(content) = described.get("content") else {
            assert!(response.body.is_empty(), "the document says that there is no body: {response}");
            return;
        };
        if response.body.is_empty() && matches!(response.status, 304) {
            return;
        }
        let media =
            response.header("content-type").and_then(|value| value.split(';').next()).unwrap_or_default();
        let described =
            content.get(media).unwrap_or_else(|| panic!("the document has no `{media}` here: {response}"));
        if !media.ends_with("json") {
            return;
        }
        let place = format!("{method} {template} {key} {media}");
        self.judge(&place, &described["schema"], response);
    }

    fn judge(&self, place: &str, schema: &Value, response: &Response) {
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
        let body = response.json();
        let errors: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
        drop(schemas);
        assert!(errors.is_empty(), "not as the document says:\n{}\n{response}", errors.join("\n"));
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
