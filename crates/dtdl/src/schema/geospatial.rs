//! GeoJSON geometries (RFC 7946, section 3.1) as values of geospatial schemas.

use serde_json::Value;

use crate::error::Violation;
use crate::schema::{Geospatial, check::mismatch};

pub(super) fn check(kind: Geospatial, value: &Value) -> Result<(), Violation> {
    let Value::Object(members) = value else {
        return Err(mismatch("a GeoJSON object", value));
    };
    let (name, depth) = match kind {
        Geospatial::Point => ("Point", 0),
        Geospatial::LineString => ("LineString", 1),
        Geospatial::MultiPoint => ("MultiPoint", 1),
        Geospatial::Polygon => ("Polygon", 2),
        Geospatial::MultiLineString => ("MultiLineString", 2),
        Geospatial::MultiPolygon => ("MultiPolygon", 3),
    };
    match members.get("type") {
        Some(Value::String(found)) if found == name => {}
        other => return Err(mismatch(&format!("'{name}'"), other.unwrap_or(&Value::Null)).under("type")),
    }
    if !members.get("coordinates").is_some_and(|coordinates| positions(coordinates, depth)) {
        let message =
            format!("expected the coordinates of a GeoJSON {name}: numbers in arrays {} deep", depth + 1);
        return Err(Violation::here(message).under("coordinates"));
    }
    Ok(())
}

/// Arrays, `depth` deep, of positions: two or more numbers.
fn positions(value: &Value, depth: u8) -> bool {
    let Value::Array(items) = value else { return false };
    match depth {
        0 => items.len() >= 2 && items.iter().all(Value::is_number),
        _ => items.iter().all(|item| positions(item, depth - 1)),
    }
}
