//! Schemas: what a value may be.

use std::sync::{Arc, OnceLock, Weak};

use indexmap::IndexMap;
use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::Meta;
use crate::semantic::{self, Edition};

mod build;
mod check;
mod encoded;
mod geospatial;
mod temporal;

pub(crate) use build::SchemaCache;
pub(crate) use temporal::is_duration;

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
    /// A schema that this one is inside of (DTDL v4).
    Recursive(RecursiveSchema),
}

/// A primitive schema, with its form in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 8 bits (DTDL v4).
    Byte,
    /// A string, bytes in Base64 (DTDL v4).
    Bytes,
    /// A string, RFC 3339 `full-date`.
    Date,
    /// A string, RFC 3339 `date-time`.
    DateTime,
    /// A string of decimal digits, with an optional sign and fraction (DTDL v4).
    Decimal,
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
    /// A whole number of 16 bits (DTDL v4).
    Short,
    /// A string of Unicode.
    String,
    /// A string, RFC 3339 `full-time`, or `partial-time`.
    Time,
    /// A whole number of 8 bits without sign (DTDL v4).
    UnsignedByte,
    /// A whole number of 32 bits without sign (DTDL v4).
    UnsignedInteger,
    /// A whole number of 64 bits without sign (DTDL v4).
    UnsignedLong,
    /// A whole number of 16 bits without sign (DTDL v4).
    UnsignedShort,
    /// A string, a UUID as in RFC 9562 (DTDL v4).
    Uuid,
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

/// A reference to a schema around it, by which values may nest without end (DTDL v4).
#[derive(Debug, Clone)]
pub struct RecursiveSchema {
    /// The identifier of the schema referred to.
    pub id: Dtmi,
    // Weak, because it points upwards: the schema is kept by the model that has it.
    target: Arc<OnceLock<Weak<Schema>>>,
}

impl PartialEq for RecursiveSchema {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl RecursiveSchema {
    /// The schema referred to; nothing once the model that has it is gone.
    #[must_use]
    pub fn target(&self) -> Option<Arc<Schema>> {
        self.target.get().and_then(Weak::upgrade)
    }
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

impl Field {
    /// Whether an instance must have it: by the cotype `Required` only, as fields can be left out otherwise.
    /// Source: `DTDL.requirement.v1.md`.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.meta.cotypes.contains(&"Required")
    }
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
            // Which kind it is shows the schema referred to; the name is for messages.
            Self::Recursive(recursive) => recursive.target().map_or("Object", |schema| schema.type_name()),
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
            Self::Recursive(schema) => Some(&schema.id),
        }
    }

    /// Whether an Array, or a geospatial schema (which holds one), is in it.
    #[must_use]
    pub fn contains_array(&self) -> bool {
        match self {
            Self::Array(_) | Self::Geospatial(_) => true,
            // The schema referred to is around this one, and is asked itself.
            Self::Primitive(_) | Self::Enum(_) | Self::Recursive(_) => false,
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

    /// `scaledDecimal`: a decimal and the count of places to shift it. Source: `DTDL.v4.md`, "Scaled Decimal Schema".
    pub(crate) fn scaled_decimal() -> Self {
        Self::primitives([("scale", Primitive::Short), ("value", Primitive::Decimal)])
    }

    /// The units of one class as a schema: an Enum whose values are their names.
    /// Source: `DTDL.overriding.v2.md`.
    pub(crate) fn units(unit_type: &str, edition: Edition) -> Self {
        let value =
            |name: &str| EnumValue { name: name.to_owned(), value: name.into(), meta: Meta::default() };
        Self::Enum(EnumSchema {
            value_schema: EnumValueKind::String,
            values: semantic::units_of(unit_type, edition).into_iter().map(value).collect(),
            meta: Meta::default(),
        })
    }

    fn doubles(names: [&'static str; 3]) -> Self {
        Self::primitives(names.map(|name| (name, Primitive::Double)))
    }

    fn primitives<const N: usize>(fields: [(&'static str, Primitive); N]) -> Self {
        let field = |(name, primitive): (&str, Primitive)| {
            let schema = Arc::new(Self::Primitive(primitive));
            (name.to_owned(), Field { name: name.to_owned(), schema, meta: Meta::default() })
        };
        Self::Object(ObjectSchema::new(fields.into_iter().map(field).collect(), Meta::default()))
    }
}

impl Primitive {
    const ALL: [Self; 19] = [
        Self::Boolean,
        Self::Byte,
        Self::Bytes,
        Self::Date,
        Self::DateTime,
        Self::Decimal,
        Self::Double,
        Self::Duration,
        Self::Float,
        Self::Integer,
        Self::Long,
        Self::Short,
        Self::String,
        Self::Time,
        Self::UnsignedByte,
        Self::UnsignedInteger,
        Self::UnsignedLong,
        Self::UnsignedShort,
        Self::Uuid,
    ];

    /// The terms for which [`Primitive::is_numeric`] holds, for messages.
    pub(crate) fn numeric_terms(version: u8) -> String {
        let numeric = Self::ALL.into_iter().filter(|p| p.is_numeric() && p.exists_in(version));
        numeric.map(Self::term).collect::<Vec<_>>().join(", ")
    }

    /// The term in the language.
    #[must_use]
    pub fn term(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Byte => "byte",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::DateTime => "dateTime",
            Self::Decimal => "decimal",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::Long => "long",
            Self::Short => "short",
            Self::String => "string",
            Self::Time => "time",
            Self::UnsignedByte => "unsignedByte",
            Self::UnsignedInteger => "unsignedInteger",
            Self::UnsignedLong => "unsignedLong",
            Self::UnsignedShort => "unsignedShort",
            Self::Uuid => "uuid",
        }
    }

    /// The primitive schema with this term.
    #[must_use]
    pub fn from_term(term: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|primitive| primitive.term() == term)
    }

    /// Whether a version of the language has it. Source: `DTDL.v4.md`, "Changes from Version 3".
    #[must_use]
    pub fn exists_in(self, version: u8) -> bool {
        match self {
            Self::Byte
            | Self::Bytes
            | Self::Decimal
            | Self::Short
            | Self::UnsignedByte
            | Self::UnsignedInteger
            | Self::UnsignedLong
            | Self::UnsignedShort
            | Self::Uuid => version >= 4,
            _ => true,
        }
    }

    /// Whether values are numbers; a `decimal` is, though it is written as a string.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        match self {
            Self::Byte
            | Self::Decimal
            | Self::Double
            | Self::Float
            | Self::Integer
            | Self::Long
            | Self::Short
            | Self::UnsignedByte
            | Self::UnsignedInteger
            | Self::UnsignedLong
            | Self::UnsignedShort => true,
            Self::Boolean
            | Self::Bytes
            | Self::Date
            | Self::DateTime
            | Self::Duration
            | Self::String
            | Self::Time
            | Self::Uuid => false,
        }
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
