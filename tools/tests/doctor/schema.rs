//! Documents against their schemas, both ways.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Checks that a document is valid, and that the schema describes every key that is there.
pub(crate) fn check_schema(name: &str, document: &Value) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/schema");
    let text = fs::read_to_string(docs.join(name)).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    let mut schemas = boon::Schemas::new();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource(name, schema.clone()).unwrap();
    let index = compiler.compile(name, &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("{name}: {error:#}");
    }
    described(name, document, &schema);
}

fn described(path: &str, value: &Value, schema: &Value) {
    match value {
        Value::Object(object) => {
            for (key, inner) in object {
                let known = schema["properties"].get(key);
                let known = known.unwrap_or_else(|| panic!("{path}.{key}: not in the schema"));
                described(&format!("{path}.{key}"), inner, known);
            }
        }
        Value::Array(list) => list.iter().for_each(|inner| {
            described(path, inner, &schema["items"]);
        }),
        _ => {}
    }
}

#[test]
fn a_document_of_another_shape_is_caught() {
    let bad = serde_json::json!({ "schema": 1, "receive_mode": "sideways" });
    assert!(std::panic::catch_unwind(|| check_schema("plan.json", &bad)).is_err());
}
