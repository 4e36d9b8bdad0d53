//! Whether a document is as its JSON Schema says.
//!
//! Only the keywords that the schemas use are known here; any other fails, so that
//! none is there without effect. What a schema does not name is an error, so that a
//! new field cannot go without a description. Another validator is asked too,
//! where there is one: see `schema`.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The schemas by their names in `pcopy schema`.
static SCHEMAS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    macro_rules! all {
        ($($name:literal)+) => {
            [$(($name, include_str!(concat!("../../docs/schemas/", $name, ".json"))),)+]
        };
    }
    all!["report" "events" "batch" "batch-line" "bench" "devices" "evidence" "job-status"]
        .into_iter()
        .map(|(name, text)| {
            let schema =
                serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.to_owned(), schema)
        })
        .collect()
});

/// The schema `name`.
pub fn named(name: &str) -> &'static Value {
    SCHEMAS.get(name).expect("a known schema")
}

/// Asserts that `document` is as the schema `name` says.
#[track_caller]
pub fn check(name: &str, document: &Value) {
    let root = named(name);
    if let Err(wrong) = (Schema { root, schema: root }).check(document) {
        panic!("not as the schema {name} says: {wrong}\n{document}");
    }
}

/// The same of a document that says which schema it follows.
#[track_caller]
pub fn check_named(document: &Value) {
    let name = document["schema"].as_str().and_then(|schema| schema.strip_prefix("pcopy."));
    if let Some(name) = name.and_then(|name| name.strip_suffix("/1")) {
        check(name, document);
    }
}

/// A schema, or a part of one.
#[derive(Clone, Copy)]
struct Schema<'a> {
    root: &'a Value,
    schema: &'a Value,
}

impl<'a> Schema<'a> {
    fn of(self, schema: &'a Value) -> Schema<'a> {
        Schema { schema, ..self }
    }

    fn check(self, value: &Value) -> Result<(), String> {
        let keywords = self.schema.as_object().expect("a schema is an object");
        keywords.iter().try_for_each(|(keyword, wanted)| self.keyword(keyword, wanted, value))
    }

    fn keyword(self, keyword: &str, wanted: &'a Value, value: &Value) -> Result<(), String> {
        let matches = match keyword {
            "$schema" | "$defs" | "title" | "description" => true,
            "const" => value == wanted,
            "enum" => list(wanted).contains(value),
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_a(value, kind)),
                kind => is_a(value, kind),
            },
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "pattern" => value.as_str().is_none_or(|text| is_like(text, wanted)),
            "anyOf" => list(wanted).iter().any(|one| self.of(one).check(value).is_ok()),
            "$ref" => {
                let pointer = wanted.as_str().and_then(|name| name.strip_prefix('#'));
                let meant = pointer.and_then(|pointer| self.root.pointer(pointer));
                return self.of(meant.expect("a part of the schema")).check(value);
            }
            "items" => {
                let Value::Array(items) = value else { return Ok(()) };
                return items.iter().try_for_each(|item| self.of(wanted).check(item));
            }
            "required" => {
                let Value::Object(fields) = value else { return Ok(()) };
                let mut names = list(wanted).iter().filter_map(Value::as_str);
                let missing = names.find(|name| !fields.contains_key(*name));
                return missing.map_or(Ok(()), |name| Err(format!("{name:?} is missing")));
            }
            "properties" | "additionalProperties" | "propertyNames" => {
                let Value::Object(fields) = value else { return Ok(()) };
                return fields.iter().try_for_each(|(name, field)| {
                    let checked = self.field(keyword, wanted, name, field);
                    checked.map_err(|wrong| format!("in {name:?}: {wrong}"))
                });
            }
            other => panic!("{other} is not known here"),
        };
        if matches { Ok(()) } else { Err(format!("{value} does not match {keyword} {wanted}")) }
    }

    /// One field of an object.
    fn field(
        self,
        keyword: &str,
        wanted: &'a Value,
        name: &str,
        field: &Value,
    ) -> Result<(), String> {
        match keyword {
            "propertyNames" => self.of(wanted).check(&name.into()),
            "additionalProperties" => self.of(wanted).check(field),
            _ => match wanted.get(name) {
                Some(schema) => self.of(schema).check(field),
                None => Err("the schema does not name it".to_owned()),
            },
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn is_a(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a type is a word") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is not known here"),
    }
}

fn is_like(text: &str, pattern: &Value) -> bool {
    let all = |is: fn(char) -> bool| text.chars().all(is);
    let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    match pattern.as_str().expect("a pattern is text") {
        "^([0-9a-f]{2})*$" => all(hex) && text.len().is_multiple_of(2),
        "^([0-9a-f]{2})+$" => all(hex) && text.len().is_multiple_of(2) && !text.is_empty(),
        "^[0-9a-f]+$" => all(hex) && !text.is_empty(),
        "^[0-7]+$" => all(|c| matches!(c, '0'..='7')) && !text.is_empty(),
        "^[a-z0-9_]+$" => all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_')) && !text.is_empty(),
        other => panic!("{other} is not known here"),
    }
}
