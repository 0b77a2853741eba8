//! Schemas: what a value may be.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::Meta;

mod build;
mod check;
mod geospatial;
mod temporal;

pub(crate) use build::SchemaCache;

/// The schema of a Property, Telemetry, payload, Field, Array or Map.
///
/// References inside a model are resolved: a schema that is used twice is shared, and the nesting is bounded by
/// [`crate::Limits::schema_depth`], so recursion over a schema is safe.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// A single value.
    Primitive(Primitive),
    /// A GeoJSON geometry.
    Geospatial(Geospatial),
    /// An ordered list of values of one schema.
    Array(ArraySchema),
    /// One of listed values.
    Enum(EnumSchema),
    /// Values of one schema under names chosen by the instance.
    Map(MapSchema),
    /// Values of several schemas under names fixed by the model.
    Object(ObjectSchema),
}

/// A primitive schema, with its form in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// `true` or `false`.
    Boolean,
    /// A string, RFC 3339 `full-date`.
    Date,
    /// A string, RFC 3339 `date-time`.
    DateTime,
    /// A number that fits IEEE 754 double.
    Double,
    /// A string, ISO 8601 duration.
    Duration,
    /// A number that fits IEEE 754 single.
    Float,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A string of Unicode.
    String,
    /// A string, RFC 3339 `full-time`, or `partial-time`.
    Time,
}

/// A geospatial schema: an object as in GeoJSON (RFC 7946), with `type` and `coordinates`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geospatial {
    /// Positions in a row.
    LineString,
    /// Several rows of positions.
    MultiLineString,
    /// Several positions.
    MultiPoint,
    /// Several polygons.
    MultiPolygon,
    /// One position.
    Point,
    /// Rings of positions.
    Polygon,
}

/// Array.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySchema {
    /// Of what.
    pub element: Arc<Schema>,
    /// Identity and documentation.
    pub meta: Meta,
}

/// Enum.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumSchema {
    /// Of which type the values are.
    pub value_schema: EnumValueKind,
    /// The values allowed; names and values are unique.
    pub values: Vec<EnumValue>,
    /// Identity and documentation.
    pub meta: Meta,
}

/// Type of an Enum's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnumValueKind {
    /// Whole numbers of 32 bits.
    Integer,
    /// Strings.
    String,
}

/// One value of an Enum.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumValue {
    /// Its name in the model; instances carry the value.
    pub name: String,
    /// The value, a JSON string or whole number.
    pub value: Value,
    /// Identity and documentation.
    pub meta: Meta,
}

/// Map; keys are strings.
#[derive(Debug, Clone, PartialEq)]
pub struct MapSchema {
    /// The name of the key, documentation only.
    pub key_name: String,
    /// The name of the value, documentation only.
    pub value_name: String,
    /// What each value may be.
    pub value: Arc<Schema>,
    /// Identity and documentation.
    pub meta: Meta,
    contains_array: bool,
}

/// Object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectSchema {
    /// Its fields by name, in order; an instance may leave out any.
    pub fields: IndexMap<String, Field>,
    /// Identity and documentation.
    pub meta: Meta,
    // Kept, because schemas are shared: walking them anew could take 30 to the power of 5 steps.
    contains_array: bool,
}

impl MapSchema {
    pub(crate) fn new(key_name: &str, value_name: &str, value: Arc<Schema>, meta: Meta) -> Self {
        let contains_array = value.contains_array();
        Self { key_name: key_name.to_owned(), value_name: value_name.to_owned(), value, meta, contains_array }
    }
}

impl ObjectSchema {
    pub(crate) fn new(fields: IndexMap<String, Field>, meta: Meta) -> Self {
        let contains_array = fields.values().any(|field| field.schema.contains_array());
        Self { fields, meta, contains_array }
    }
}

/// One field of an Object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub schema: Arc<Schema>,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Schema {
    /// The schema's name in the language: `integer`, `Array`, `point`.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Primitive(primitive) => primitive.term(),
            Self::Geospatial(geospatial) => geospatial.term(),
            Self::Array(_) => "Array",
            Self::Enum(_) => "Enum",
            Self::Map(_) => "Map",
            Self::Object(_) => "Object",
        }
    }

    /// The schema's own identifier, where the model gives one.
    #[must_use]
    pub fn id(&self) -> Option<&Dtmi> {
        match self {
            Self::Primitive(_) | Self::Geospatial(_) => None,
            Self::Array(schema) => schema.meta.id.as_ref(),
            Self::Enum(schema) => schema.meta.id.as_ref(),
            Self::Map(schema) => schema.meta.id.as_ref(),
            Self::Object(schema) => schema.meta.id.as_ref(),
        }
    }

    /// Whether an Array, or a geospatial schema (which holds one), is in it.
    #[must_use]
    pub fn contains_array(&self) -> bool {
        match self {
            Self::Array(_) | Self::Geospatial(_) => true,
            Self::Primitive(_) | Self::Enum(_) => false,
            Self::Map(map) => map.contains_array,
            Self::Object(object) => object.contains_array,
        }
    }

    /// Checks a JSON value.
    ///
    /// Whole numbers must be written without a fraction and fit their width; `double` and `float` take whole
    /// numbers too; dates and times are checked as text; an Object may lack fields and may not have others; null
    /// is never a value.
    ///
    /// # Errors
    /// The first violation, with its place inside the value.
    pub fn check(&self, value: &Value) -> Result<(), crate::Violation> {
        check::check(self, value)
    }

    /// IoT Central's `vector`: an Object of three doubles.
    pub(crate) fn vector() -> Self {
        Self::doubles(["x", "y", "z"])
    }

    /// IoT Central's `geopoint`: an Object of three doubles.
    pub(crate) fn geopoint() -> Self {
        Self::doubles(["lat", "lon", "alt"])
    }

    fn doubles(names: [&str; 3]) -> Self {
        let double = Arc::new(Self::Primitive(Primitive::Double));
        let field =
            |name: &str| Field { name: name.to_owned(), schema: double.clone(), meta: Meta::default() };
        let fields = names.into_iter().map(|name| (name.to_owned(), field(name))).collect();
        Self::Object(ObjectSchema::new(fields, Meta::default()))
    }
}

impl Primitive {
    /// The terms for which [`Primitive::is_numeric`] holds, for messages.
    pub(crate) const NUMERIC: &'static str = "double, float, integer or long";

    /// The term in the language.
    #[must_use]
    pub fn term(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::DateTime => "dateTime",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::String => "string",
            Self::Time => "time",
        }
    }

    /// The primitive schema with this term.
    #[must_use]
    pub fn from_term(term: &str) -> Option<Self> {
        const ALL: [Primitive; 10] = [
            Primitive::Boolean,
            Primitive::Date,
            Primitive::DateTime,
            Primitive::Double,
            Primitive::Duration,
            Primitive::Float,
            Primitive::Integer,
            Primitive::Long,
            Primitive::String,
            Primitive::Time,
        ];
        ALL.into_iter().find(|primitive| primitive.term() == term)
    }

    /// Whether values are numbers.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Double | Self::Float | Self::Integer | Self::Long)
    }
}

impl Geospatial {
    /// The term in the language.
    #[must_use]
    pub fn term(self) -> &'static str {
        match self {
            Self::LineString => "lineString",
            Self::MultiLineString => "multiLineString",
            Self::MultiPoint => "multiPoint",
            Self::MultiPolygon => "multiPolygon",
            Self::Point => "point",
            Self::Polygon => "polygon",
        }
    }

    /// The geospatial schema with this term.
    #[must_use]
    pub fn from_term(term: &str) -> Option<Self> {
        use Geospatial::{LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon};
        let all = [LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon];
        all.into_iter().find(|geospatial| geospatial.term() == term)
    }
}
