//! The served OpenAPI document itself.

use serde_json::Value;
use stampede_tests::World;

/// Every call of the contract. The document must describe all of them.
const CALLS: [(&str, &str); 20] = [
    ("get", "/api/sales"),
    ("get", "/api/sales/{id}"),
    ("get", "/api/items/{id}"),
    ("post", "/api/session"),
    ("post", "/api/items/{id}/challenges"),
    ("post", "/api/items/{id}/reservations"),
    ("get", "/api/reservations/{id}"),
    ("delete", "/api/reservations/{id}"),
    ("post", "/api/reservations/{id}/checkout"),
    ("get", "/api/orders"),
    ("get", "/api/orders/{id}"),
    ("get", "/api/admin/sales"),
    ("post", "/api/admin/sales"),
    ("put", "/api/admin/sales/{id}"),
    ("post", "/api/admin/sales/{id}/items"),
    ("put", "/api/admin/items/{id}"),
    ("post", "/api/admin/items/{id}/stock"),
    ("get", "/api/admin/items/{id}/stats"),
    ("post", "/api/admin/items/{id}/audit"),
    ("post", "/internal/tick"),
];

#[tokio::test]
async fn the_document_describes_every_call() {
    let world = World::builder().unchecked().start().await;
    let response = world.client().get("/api/openapi.json").send().await;
    let document = response.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for (method, path) in CALLS {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "the document has no {method} {path}");
        assert!(operation["responses"].as_object().is_some_and(|responses| !responses.is_empty()));
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let world = World::builder().unchecked().start().await;
    let document = world.client().get("/api/openapi.json").send().await.expect(200);
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => found.push(target.clone()),
                    _ => collect_references(member, found),
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| collect_references(member, found)),
        _ => {}
    }
}
