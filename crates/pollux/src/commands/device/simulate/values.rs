//! Values that fit a schema, and move as measurements do: each from where it was.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pollux_dtdl::{EnumSchema, Geospatial, Primitive, Schema};
use pollux_model::{Clock as _, Random as _, SystemClock, SystemRandom};
use serde_json::{Map, Number, Value, json};

/// Numbers walk between these, which fit every numeric schema.
const BOUNDS: (f64, f64) = (0.0, 100.0);
/// The longest step of a number, as a part of the way between the bounds.
const STEP: f64 = 0.02;
/// How deep schemas are followed that contain themselves.
const RECURSION: u32 = 2;

/// The numbers of one device, by where they are.
#[derive(Debug, Default)]
pub(super) struct Values(HashMap<String, f64>);

impl Values {
    /// A value of that schema; `place` tells one number from another.
    pub(super) fn of(&mut self, place: &str, schema: &Schema) -> Value {
        self.within(place, schema, RECURSION).unwrap_or(Value::Null)
    }

    /// `None` where a schema would contain itself too often.
    fn within(&mut self, place: &str, schema: &Schema, recursion: u32) -> Option<Value> {
        Some(match schema {
            Schema::Primitive(primitive) => self.primitive(place, *primitive),
            Schema::Geospatial(geospatial) => self.geospatial(place, *geospatial),
            Schema::Array(array) => (0..2)
                .filter_map(|index| self.within(&format!("{place}[{index}]"), &array.element, recursion))
                .collect(),
            Schema::Enum(one) => chosen(one),
            Schema::Map(map) => {
                let value = self.within(&format!("{place}/a"), &map.value, recursion);
                Value::Object(value.map(|value| ("a".to_owned(), value)).into_iter().collect())
            }
            Schema::Object(object) => {
                let mut fields = Map::new();
                for (name, field) in &object.fields {
                    if let Some(value) = self.within(&format!("{place}/{name}"), &field.schema, recursion) {
                        fields.insert(name.clone(), value);
                    }
                }
                Value::Object(fields)
            }
            Schema::Recursive(outer) => {
                let (outer, recursion) = (outer.target()?, recursion.checked_sub(1)?);
                return self.within(place, &outer, recursion);
            }
        })
    }

    fn primitive(&mut self, place: &str, primitive: Primitive) -> Value {
        let now = || SystemClock.now().to_string();
        match primitive {
            Primitive::Boolean => json!(below(2) == 1),
            Primitive::Double | Primitive::Float => json!((self.number(place) * 100.0).round() / 100.0),
            Primitive::Byte
            | Primitive::Integer
            | Primitive::Long
            | Primitive::Short
            | Primitive::UnsignedByte
            | Primitive::UnsignedInteger
            | Primitive::UnsignedLong
            | Primitive::UnsignedShort => Value::Number(Number::from(self.number(place).round() as u64)),
            Primitive::Decimal => json!(format!("{:.2}", self.number(place))),
            Primitive::Bytes => json!(STANDARD.encode(SystemRandom.uuid().as_bytes())),
            Primitive::Date => json!(now()[..10]),
            Primitive::DateTime => json!(now()),
            Primitive::Time => json!(format!("{}Z", &now()[11..19])),
            Primitive::Duration => json!(format!("PT{}S", below(3600))),
            Primitive::String => {
                json!(format!("{}-{}", place.rsplit('/').next().unwrap_or(place), below(1000)))
            }
            Primitive::Uuid => json!(SystemRandom.uuid()),
        }
    }

    /// A random walk that turns at the bounds.
    fn number(&mut self, place: &str) -> f64 {
        let (low, high) = BOUNDS;
        let part = || below(1_000_001) as f64 / 1_000_000.0;
        let next = match self.0.get(place) {
            None => (high - low).mul_add(part(), low),
            Some(last) => ((high - low) * STEP).mul_add(2.0f64.mul_add(part(), -1.0), *last),
        };
        let next = if next > high {
            2.0 * high - next
        } else if next < low {
            2.0 * low - next
        } else {
            next
        };
        self.0.insert(place.to_owned(), next);
        next
    }

    /// GeoJSON (RFC 7946): rings of polygons end where they begin.
    fn geospatial(&mut self, place: &str, geospatial: Geospatial) -> Value {
        // Both within what longitudes and latitudes may be.
        let (x, y) = (self.number(&format!("{place}/x")) - 50.0, self.number(&format!("{place}/y")) - 50.0);
        let at = |dx: f64, dy: f64| json!([x + dx, y + dy]);
        let line = || json!([at(0.0, 0.0), at(0.5, 0.5)]);
        let ring = || json!([[at(0.0, 0.0), at(1.0, 0.0), at(1.0, 1.0), at(0.0, 0.0)]]);
        let (name, coordinates) = match geospatial {
            Geospatial::Point => ("Point", at(0.0, 0.0)),
            Geospatial::LineString => ("LineString", line()),
            Geospatial::MultiPoint => ("MultiPoint", line()),
            Geospatial::Polygon => ("Polygon", ring()),
            Geospatial::MultiLineString => ("MultiLineString", json!([line()])),
            Geospatial::MultiPolygon => ("MultiPolygon", json!([ring()])),
        };
        json!({ "type": name, "coordinates": coordinates })
    }
}

fn below(bound: u64) -> u64 {
    SystemRandom.below(bound)
}

fn chosen(of: &EnumSchema) -> Value {
    let index = below(of.values.len().max(1) as u64);
    of.values.get(index as usize).map(|one| one.value.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use pollux_dtdl::{Dtmi, Limits, ModelSet, parse};

    use super::*;

    #[test]
    fn every_value_fits_the_schema_it_is_made_of() {
        let primitives = [
            "boolean",
            "byte",
            "bytes",
            "date",
            "dateTime",
            "decimal",
            "double",
            "duration",
            "float",
            "integer",
            "long",
            "short",
            "string",
            "time",
            "unsignedByte",
            "unsignedInteger",
            "unsignedLong",
            "unsignedShort",
            "uuid",
            "point",
            "lineString",
            "multiLineString",
            "multiPoint",
            "multiPolygon",
            "polygon",
        ];
        let mut contents: Vec<_> = primitives
            .iter()
            .map(|schema| json!({ "@type": "Telemetry", "name": format!("a_{schema}"), "schema": schema }))
            .collect();
        let mut more = |name: &str, schema: Value| {
            contents.push(json!({ "@type": "Telemetry", "name": name, "schema": schema }));
        };
        let values = json!([{ "name": "off", "enumValue": "0" }, { "name": "on", "enumValue": "1" }]);
        more("choice", json!({ "@type": "Enum", "valueSchema": "string", "enumValues": values }));
        more("list", json!({ "@type": "Array", "elementSchema": "double" }));
        let key = json!({ "name": "key", "schema": "string" });
        more(
            "map",
            json!({ "@type": "Map", "mapKey": key, "mapValue": { "name": "value", "schema": "integer" } }),
        );
        let fields = json!([{ "name": "x", "schema": "double" }, { "name": "inner", "schema": {
            "@type": "Object", "fields": [{ "name": "y", "schema": "date" }] } }]);
        more("object", json!({ "@type": "Object", "fields": fields }));
        let model = json!({
            "@id": "dtmi:x:All;1", "@type": "Interface", "@context": "dtmi:dtdl:context;4", "contents": contents,
        });
        let set = ModelSet::new().with(parse(&[model], &Limits::language()).unwrap()).unwrap();
        let interface = set.get(&Dtmi::parse("dtmi:x:All;1").unwrap()).unwrap();
        let mut made = Values::default();
        for _ in 0..200 {
            for (name, telemetry) in &interface.telemetries {
                let value = made.of(name, &telemetry.schema);
                let checked = interface.check_telemetry(name, &value);
                assert!(checked.is_ok(), "{name}: {value}: {checked:?}");
            }
        }
    }

    #[test]
    fn a_number_walks_in_small_steps() {
        let mut values = Values::default();
        let mut last = values.number("here");
        for _ in 0..1000 {
            let next = values.number("here");
            assert!((next - last).abs() <= 2.0 + 1e-9 && (0.0..=100.0).contains(&next), "{last} {next}");
            last = next;
        }
    }
}
