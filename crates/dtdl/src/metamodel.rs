//! The classes of the language and their properties, as tables per version. The reader works from these alone;
//! a further version of the language is a further table.
//! Source: DTDL v2, the chart of each class.

use crate::limits::Limits;

/// Versions of DTDL for which there is a table.
pub(crate) const SUPPORTED_VERSIONS: [u8; 1] = [2];

/// A concrete class of element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Interface,
    Telemetry,
    Property,
    Command,
    CommandPayload,
    Relationship,
    Component,
    Array,
    Enum,
    EnumValue,
    Map,
    MapKey,
    MapValue,
    Object,
    Field,
}

/// What a property's values may be.
#[derive(Clone, Copy)]
pub(crate) enum Range {
    /// A string of bounded length.
    Text(Bound),
    /// A programming name.
    Name,
    /// A string per language, of bounded length.
    Localized(Bound),
    Boolean,
    /// An integer of 32 bits.
    Integer,
    /// A string or an integer: an Enum's value.
    EnumValue,
    /// The DTMI of an Interface, by name only.
    Target,
    /// A unit; allowed only beside a semantic type.
    Unit,
    /// One of these terms of the class `CommandType`.
    CommandType(&'static [&'static str]),
    /// One of these primitive schemas.
    Primitives(&'static [&'static str]),
    /// Any schema: a primitive or geospatial term, an element, or a reference.
    Schema,
    /// Elements of these kinds, or references to them.
    Elements(Elements),
}

/// Which elements a property holds.
#[derive(Clone, Copy)]
pub(crate) struct Elements {
    pub(crate) kinds: &'static [Kind],
    /// The kind where `@type` is left out.
    pub(crate) default: Option<Kind>,
    /// Whether each must have an `@id`.
    pub(crate) id_required: bool,
}

/// A bound taken from the limits in force.
pub(crate) type Bound = fn(&Limits) -> usize;

/// How many values a property may have.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    One,
    Set { min: usize, max: Bound },
}

/// One property of a class.
#[derive(Clone, Copy)]
pub(crate) struct PropertySpec {
    pub(crate) name: &'static str,
    pub(crate) range: Range,
    pub(crate) required: bool,
    pub(crate) count: Count,
}

pub(crate) const CONTENTS: &[Kind] =
    &[Kind::Command, Kind::Component, Kind::Property, Kind::Relationship, Kind::Telemetry];
pub(crate) const SCHEMAS: &[Kind] = &[Kind::Array, Kind::Enum, Kind::Map, Kind::Object];
const INTERFACES: Elements = elements(&[Kind::Interface], None);

impl Kind {
    /// The kind with this term.
    pub(crate) fn from_term(term: &str) -> Option<Self> {
        Some(match term {
            "Interface" => Self::Interface,
            "Telemetry" => Self::Telemetry,
            "Property" => Self::Property,
            "Command" => Self::Command,
            "CommandPayload" => Self::CommandPayload,
            "Relationship" => Self::Relationship,
            "Component" => Self::Component,
            "Array" => Self::Array,
            "Enum" => Self::Enum,
            "EnumValue" => Self::EnumValue,
            "Map" => Self::Map,
            "MapKey" => Self::MapKey,
            "MapValue" => Self::MapValue,
            "Object" => Self::Object,
            "Field" => Self::Field,
            _ => return None,
        })
    }

    /// The properties beside `comment`, `description` and `displayName`, which all kinds have.
    pub(crate) fn properties(self) -> &'static [PropertySpec] {
        match self {
            Self::Interface => INTERFACE,
            Self::Telemetry => TELEMETRY,
            Self::Property => PROPERTY,
            Self::Command => COMMAND,
            Self::Relationship => RELATIONSHIP,
            Self::Component => COMPONENT,
            Self::CommandPayload | Self::Field | Self::MapValue => NAMED_SCHEMA,
            Self::Array => ARRAY,
            Self::Enum => ENUM,
            Self::EnumValue => ENUM_VALUE,
            Self::Map => MAP,
            Self::MapKey => MAP_KEY,
            Self::Object => OBJECT,
        }
    }

    /// Whether semantic types and units may be given.
    pub(crate) fn takes_semantic_type(self) -> bool {
        matches!(self, Self::Property | Self::Telemetry)
    }
}

/// The specification of a property of a class, by its term.
pub(crate) fn property(kind: Kind, term: &str) -> Option<&'static PropertySpec> {
    COMMON.iter().chain(kind.properties()).find(|spec| spec.name == term)
}

/// All properties of a class.
pub(crate) fn properties(kind: Kind) -> impl Iterator<Item = &'static PropertySpec> {
    COMMON.iter().chain(kind.properties())
}

const fn optional(name: &'static str, range: Range) -> PropertySpec {
    PropertySpec { name, range, required: false, count: Count::One }
}

const fn required(name: &'static str, range: Range) -> PropertySpec {
    PropertySpec { name, range, required: true, count: Count::One }
}

const fn set(name: &'static str, elements: Elements, min: usize, max: Bound) -> PropertySpec {
    PropertySpec { name, range: Range::Elements(elements), required: min > 0, count: Count::Set { min, max } }
}

const fn elements(kinds: &'static [Kind], default: Option<Kind>) -> Elements {
    Elements { kinds, default, id_required: false }
}

const COMMON: &[PropertySpec] = &[
    optional("comment", Range::Text(|l| l.comment_chars)),
    optional("description", Range::Localized(|l| l.description_chars)),
    optional("displayName", Range::Localized(|l| l.display_name_chars)),
];
const NAME: PropertySpec = required("name", Range::Name);
const SCHEMA: PropertySpec = required("schema", Range::Schema);
const UNIT: PropertySpec = optional("unit", Range::Unit);
const WRITABLE: PropertySpec = optional("writable", Range::Boolean);
const PAYLOAD: Range = Range::Elements(elements(&[Kind::CommandPayload], Some(Kind::CommandPayload)));

const INTERFACE: &[PropertySpec] = &[
    set("contents", elements(CONTENTS, None), 0, |l| l.contents),
    set("extends", INTERFACES, 0, |l| l.extends),
    set("schemas", Elements { kinds: SCHEMAS, default: None, id_required: true }, 0, |l| l.contents),
];
const TELEMETRY: &[PropertySpec] = &[NAME, SCHEMA, UNIT];
const PROPERTY: &[PropertySpec] = &[NAME, SCHEMA, UNIT, WRITABLE];
const COMMAND: &[PropertySpec] = &[
    NAME,
    optional("commandType", Range::CommandType(&["asynchronous", "synchronous"])),
    optional("request", PAYLOAD),
    optional("response", PAYLOAD),
];
const RELATIONSHIP: &[PropertySpec] = &[
    NAME,
    optional("maxMultiplicity", Range::Integer),
    optional("minMultiplicity", Range::Integer),
    set("properties", elements(&[Kind::Property], None), 0, |l| l.relationship_properties),
    optional("target", Range::Target),
    WRITABLE,
];
const COMPONENT: &[PropertySpec] = &[NAME, required("schema", Range::Elements(INTERFACES))];
const NAMED_SCHEMA: &[PropertySpec] = &[NAME, SCHEMA];
const ARRAY: &[PropertySpec] = &[required("elementSchema", Range::Schema)];
const ENUM: &[PropertySpec] = &[
    set("enumValues", elements(&[Kind::EnumValue], Some(Kind::EnumValue)), 1, |l| l.enum_values),
    required("valueSchema", Range::Primitives(&["integer", "string"])),
];
const ENUM_VALUE: &[PropertySpec] = &[NAME, required("enumValue", Range::EnumValue)];
const MAP: &[PropertySpec] = &[
    required("mapKey", Range::Elements(elements(&[Kind::MapKey], Some(Kind::MapKey)))),
    required("mapValue", Range::Elements(elements(&[Kind::MapValue], Some(Kind::MapValue)))),
];
const MAP_KEY: &[PropertySpec] = &[NAME, required("schema", Range::Primitives(&["string"]))];
const OBJECT: &[PropertySpec] =
    &[set("fields", elements(&[Kind::Field], Some(Kind::Field)), 1, |l| l.fields)];
