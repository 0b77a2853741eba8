//! A JSON value against a schema.

use serde_json::Value;

use crate::error::Violation;
use crate::literal::describe;
use crate::schema::{EnumSchema, Primitive, Schema, geospatial, temporal};

/// Recursion follows the schema, whose depth is bounded.
pub(super) fn check(schema: &Schema, value: &Value) -> Result<(), Violation> {
    match (schema, value) {
        (Schema::Primitive(primitive), value) => primitive_value(*primitive, value),
        (Schema::Geospatial(kind), value) => geospatial::check(*kind, value),
        (Schema::Enum(schema), value) => enum_value(schema, value),
        (Schema::Array(schema), Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                check(&schema.element, item).map_err(|violation| violation.under(&index.to_string()))?;
            }
            Ok(())
        }
        (Schema::Map(schema), Value::Object(members)) => {
            for (key, member) in members {
                if key.is_empty() {
                    return Err(Violation::here("a key of a Map cannot be empty"));
                }
                check(&schema.value, member).map_err(|violation| violation.under(key))?;
            }
            Ok(())
        }
        (Schema::Object(schema), Value::Object(members)) => {
            for (name, member) in members {
                let Some(field) = schema.fields.get(name) else {
                    let known: Vec<_> = schema.fields.keys().map(String::as_str).collect();
                    let message = format!("there is no field '{name}'; there are {}", known.join(", "));
                    return Err(Violation::here(message).under(name));
                };
                check(&field.schema, member).map_err(|violation| violation.under(name))?;
            }
            Ok(())
        }
        (Schema::Array(_), other) => Err(mismatch("an array", other)),
        (Schema::Map(_) | Schema::Object(_), other) => Err(mismatch("an object", other)),
    }
}

fn primitive_value(primitive: Primitive, value: &Value) -> Result<(), Violation> {
    let text = |is_valid: fn(&str) -> bool| value.as_str().is_some_and(is_valid);
    let (fits, wanted) = match primitive {
        Primitive::Boolean => (value.is_boolean(), "true or false"),
        Primitive::Date => (text(temporal::is_date), "a date such as '2024-05-17'"),
        Primitive::DateTime => {
            (text(temporal::is_date_time), "a date and time such as '2024-05-17T08:30:00Z'")
        }
        Primitive::Double => (value.is_number(), "a number"),
        Primitive::Duration => (text(temporal::is_duration), "a duration such as 'PT1H30M'"),
        Primitive::Float => {
            (value.as_f64().is_some_and(|n| n.abs() <= f64::from(f32::MAX)), "a number of single precision")
        }
        Primitive::Integer => {
            (value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()), "a whole number of 32 bits")
        }
        Primitive::Long => (value.is_i64(), "a whole number of 64 bits"),
        Primitive::String => (value.is_string(), "a string"),
        Primitive::Time => (text(temporal::is_time), "a time such as '08:30:00'"),
    };
    if fits { Ok(()) } else { Err(mismatch(wanted, value)) }
}

fn enum_value(schema: &EnumSchema, value: &Value) -> Result<(), Violation> {
    if schema.values.iter().any(|allowed| allowed.value == *value) {
        return Ok(());
    }
    let allowed: Vec<_> = schema.values.iter().map(|allowed| allowed.value.to_string()).collect();
    Err(mismatch(&format!("one of {}", allowed.join(", ")), value))
}

pub(super) fn mismatch(wanted: &str, found: &Value) -> Violation {
    Violation::here(format!("expected {wanted}, found {}", describe(found)))
}
