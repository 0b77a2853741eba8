//! A JSON value against a schema.

use serde_json::{Map, Value};

use crate::error::Violation;
use crate::literal::describe;
use crate::schema::{EnumSchema, ObjectSchema, Primitive, Schema, encoded, geospatial, temporal};

/// Recursion follows the schema, whose depth is bounded, or where the schema is recursive the value, whose depth is
/// bounded by whoever read it.
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
        (Schema::Object(schema), Value::Object(members)) => object_value(schema, members),
        (Schema::Recursive(schema), value) => match schema.target() {
            Some(schema) => check(&schema, value),
            None => Err(Violation::here(format!("the model with schema '{}' is no longer here", schema.id))),
        },
        (Schema::Array(_), other) => Err(mismatch("an array", other)),
        (Schema::Map(_) | Schema::Object(_), other) => Err(mismatch("an object", other)),
    }
}

fn object_value(schema: &ObjectSchema, members: &Map<String, Value>) -> Result<(), Violation> {
    for (name, member) in members {
        let Some(field) = schema.fields.get(name) else {
            let known: Vec<_> = schema.fields.keys().map(String::as_str).collect();
            let message = format!("there is no field '{name}'; there are {}", known.join(", "));
            return Err(Violation::here(message).under(name));
        };
        check(&field.schema, member).map_err(|violation| violation.under(name))?;
    }
    let missing =
        schema.fields.values().find(|field| field.is_required() && !members.contains_key(&field.name));
    match missing {
        Some(field) => {
            let message = format!("the field '{}' is required", field.name);
            Err(Violation::here(message).under(&field.name))
        }
        None => Ok(()),
    }
}

fn primitive_value(primitive: Primitive, value: &Value) -> Result<(), Violation> {
    let text = |is_valid: fn(&str) -> bool| value.as_str().is_some_and(is_valid);
    let signed = |bits: u32| value.as_i64().is_some_and(|n| n >= -1 << (bits - 1) && n < 1 << (bits - 1));
    let unsigned = |bits: u32| value.as_u64().is_some_and(|n| n < 1 << bits);
    let (fits, wanted) = match primitive {
        Primitive::Boolean => (value.is_boolean(), "true or false"),
        Primitive::Byte => (signed(8), "a whole number from -128 to 127"),
        Primitive::Bytes => (text(encoded::is_base64), "bytes in Base64, such as 'cG9sbHV4'"),
        Primitive::Date => (text(temporal::is_date), "a date such as '2024-05-17'"),
        Primitive::DateTime => {
            (text(temporal::is_date_time), "a date and time such as '2024-05-17T08:30:00Z'")
        }
        Primitive::Decimal => (text(encoded::is_decimal), "decimal digits in a string, such as '-12.50'"),
        Primitive::Double => (value.is_number(), "a number"),
        Primitive::Duration => (text(temporal::is_duration), "a duration such as 'PT1H30M'"),
        Primitive::Float => {
            (value.as_f64().is_some_and(|n| n.abs() <= f64::from(f32::MAX)), "a number of single precision")
        }
        Primitive::Integer => (signed(32), "a whole number of 32 bits"),
        Primitive::Long => (value.is_i64(), "a whole number of 64 bits"),
        Primitive::Short => (signed(16), "a whole number from -32768 to 32767"),
        Primitive::String => (value.is_string(), "a string"),
        Primitive::Time => (text(temporal::is_time), "a time such as '08:30:00'"),
        Primitive::UnsignedByte => (unsigned(8), "a whole number from 0 to 255"),
        Primitive::UnsignedInteger => (unsigned(32), "a whole number of 32 bits without sign"),
        Primitive::UnsignedLong => (value.is_u64(), "a whole number of 64 bits without sign"),
        Primitive::UnsignedShort => (unsigned(16), "a whole number from 0 to 65535"),
        Primitive::Uuid => (text(encoded::is_uuid), "a UUID such as 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'"),
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
