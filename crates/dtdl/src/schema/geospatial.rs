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
    let fits = |coordinates: &Value| positions(coordinates, depth) && shaped(kind, coordinates);
    if !members.get("coordinates").is_some_and(fits) {
        let message = format!(
            "expected the coordinates of a GeoJSON {name}: numbers in arrays {} deep{}",
            depth + 1,
            extra(kind)
        );
        return Err(Violation::here(message).under("coordinates"));
    }
    Ok(())
}

/// What a geometry asks beside the depth of its arrays.
fn extra(kind: Geospatial) -> &'static str {
    match kind {
        Geospatial::Point | Geospatial::MultiPoint => "",
        Geospatial::LineString | Geospatial::MultiLineString => ", two or more positions in each line",
        Geospatial::Polygon | Geospatial::MultiPolygon => {
            ", four or more positions in each ring, the last the same as the first"
        }
    }
}

/// RFC 7946, sections 3.1.4 to 3.1.7: a line has two or more positions; a ring four or more, and is closed.
fn shaped(kind: Geospatial, coordinates: &Value) -> bool {
    let is_line = |line: &Value| line.as_array().is_some_and(|positions| positions.len() >= 2);
    let is_ring = |ring: &Value| {
        ring.as_array().is_some_and(|positions| positions.len() >= 4 && positions.first() == positions.last())
    };
    let all = |value: &Value, fits: &dyn Fn(&Value) -> bool| {
        value.as_array().is_some_and(|items| items.iter().all(fits))
    };
    match kind {
        Geospatial::Point | Geospatial::MultiPoint => true,
        Geospatial::LineString => is_line(coordinates),
        Geospatial::MultiLineString => all(coordinates, &is_line),
        Geospatial::Polygon => all(coordinates, &is_ring),
        Geospatial::MultiPolygon => all(coordinates, &|polygon| all(polygon, &is_ring)),
    }
}

/// Arrays, `depth` deep, of positions: two or more numbers.
fn positions(value: &Value, depth: u8) -> bool {
    let Value::Array(items) = value else { return false };
    match depth {
        0 => items.len() >= 2 && items.iter().all(Value::is_number),
        _ => items.iter().all(|item| positions(item, depth - 1)),
    }
}
