//! The classes of the language and their properties, as tables per version. The reader works from these alone;
//! a further version of the language is a further table.
//! Source: `DTDL.v2.md`, `DTDL.v3.md`, `DTDL.v4.md`, the chart of each class.

use crate::limits::LanguageLimits;

/// Versions of DTDL for which there is a table.
pub(crate) const SUPPORTED_VERSIONS: [u8; 3] = [2, 3, 4];

/// A concrete class of element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Interface,
    Telemetry,
    Property,
    Command,
    /// DTDL v2; later versions tell request and response apart.
    CommandPayload,
    CommandRequest,
    CommandResponse,
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
#[derive(Debug, Clone, Copy)]
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
    /// A number.
    Number,
    /// An ISO 8601 duration.
    Duration,
    /// An MQTT topic pattern.
    TopicPattern,
    /// One label of an MQTT topic.
    TopicLabel,
    /// The term or DTMI of a property of an extension.
    PropertyName,
    /// Any JSON.
    Anything,
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements {
    pub(crate) kinds: &'static [Kind],
    /// The kind where `@type` is left out.
    pub(crate) default: Option<Kind>,
    /// Whether each must have an `@id`.
    pub(crate) id_required: bool,
}

/// A bound taken from the limits in force.
pub(crate) type Bound = fn(&LanguageLimits) -> usize;

/// How many values a property may have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    One,
    Set { min: usize, max: Bound },
}

/// One property of a class.
#[derive(Debug, Clone, Copy)]
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
    /// The kind with this term in a version of the language.
    pub(crate) fn from_term(term: &str, version: u8) -> Option<Self> {
        let kind = match term {
            "Interface" => Self::Interface,
            "Telemetry" => Self::Telemetry,
            "Property" => Self::Property,
            "Command" => Self::Command,
            "CommandPayload" => Self::CommandPayload,
            "CommandRequest" => Self::CommandRequest,
            "CommandResponse" => Self::CommandResponse,
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
        };
        kind.exists_in(version).then_some(kind)
    }

    fn exists_in(self, version: u8) -> bool {
        match self {
            Self::CommandPayload => version == 2,
            Self::CommandRequest | Self::CommandResponse => version >= 3,
            _ => true,
        }
    }

    /// The properties beside `comment`, `description` and `displayName`, which all kinds have.
    fn properties(self, version: u8) -> &'static [PropertySpec] {
        match self {
            Self::Interface => INTERFACE,
            Self::Telemetry => NAMED_SCHEMA,
            Self::Property => PROPERTY,
            Self::Command if version == 2 => COMMAND_V2,
            Self::Command => COMMAND,
            Self::Relationship => RELATIONSHIP,
            Self::Component => COMPONENT,
            Self::CommandRequest | Self::CommandResponse if version >= 4 => NULLABLE_SCHEMA,
            Self::CommandPayload
            | Self::CommandRequest
            | Self::CommandResponse
            | Self::Field
            | Self::MapValue => NAMED_SCHEMA,
            Self::Array => ARRAY,
            Self::Enum if version == 2 => ENUM_V2,
            Self::Enum => ENUM,
            Self::EnumValue => ENUM_VALUE,
            Self::Map => MAP,
            Self::MapKey => MAP_KEY,
            Self::Object if version == 2 => OBJECT_V2,
            Self::Object => OBJECT,
        }
    }

    /// Whether semantic types and units may be given. Source: `DTDL.v2.md`, "Semantic Types";
    /// `DTDL.quantitativeTypes.v1.md` and `.v2.md`.
    pub(crate) fn takes_semantic_type(self, version: u8) -> bool {
        match self {
            Self::Property | Self::Telemetry => true,
            Self::CommandRequest | Self::CommandResponse | Self::Field | Self::MapValue => version >= 3,
            _ => false,
        }
    }
}

/// The specification of a property of a class, by its term. `unit` belongs to every class that takes a semantic
/// type, and is looked up as one of its own.
pub(crate) fn property(kind: Kind, version: u8, term: &str) -> Option<&'static PropertySpec> {
    properties(kind, version).find(|spec| spec.name == term)
}

/// All properties of a class.
pub(crate) fn properties(kind: Kind, version: u8) -> impl Iterator<Item = &'static PropertySpec> {
    let unit = kind.takes_semantic_type(version).then_some(&UNIT);
    COMMON.iter().chain(kind.properties(version)).chain(unit)
}

/// Whether the elements of a property may be written in an earlier version of the language than the element that has
/// them. Source: the parser cases `…PropertyRequestElementV4`, `…PropertySchemaElementV4` and the like.
pub(crate) fn takes_earlier(property: &str) -> bool {
    matches!(property, "contents" | "elementSchema" | "extends" | "properties" | "schema")
}

pub(crate) const fn optional(name: &'static str, range: Range) -> PropertySpec {
    PropertySpec { name, range, required: false, count: Count::One }
}

pub(crate) const fn required(name: &'static str, range: Range) -> PropertySpec {
    PropertySpec { name, range, required: true, count: Count::One }
}

const fn set(name: &'static str, elements: Elements, min: usize, max: Bound) -> PropertySpec {
    PropertySpec { name, range: Range::Elements(elements), required: min > 0, count: Count::Set { min, max } }
}

const fn elements(kinds: &'static [Kind], default: Option<Kind>) -> Elements {
    Elements { kinds, default, id_required: false }
}

/// A property that holds one element of one kind.
const fn element(kind: &'static [Kind; 1]) -> Range {
    Range::Elements(elements(kind, Some(kind[0])))
}

const COMMON: &[PropertySpec] = &[
    optional("comment", Range::Text(|l| l.comment_chars)),
    optional("description", Range::Localized(|l| l.description_chars)),
    optional("displayName", Range::Localized(|l| l.display_name_chars)),
];
const NAME: PropertySpec = required("name", Range::Name);
const SCHEMA: PropertySpec = required("schema", Range::Schema);
static UNIT: PropertySpec = optional("unit", Range::Unit);
const WRITABLE: PropertySpec = optional("writable", Range::Boolean);
const COMMAND_TYPE: PropertySpec =
    optional("commandType", Range::CommandType(&["asynchronous", "synchronous"]));

const INTERFACE: &[PropertySpec] = &[
    set("contents", elements(CONTENTS, None), 0, |l| l.contents),
    set("extends", INTERFACES, 0, |l| l.extends),
    set("schemas", Elements { kinds: SCHEMAS, default: None, id_required: true }, 0, |l| l.contents),
];
const PROPERTY: &[PropertySpec] = &[NAME, SCHEMA, WRITABLE];
const COMMAND_V2: &[PropertySpec] = &[
    NAME,
    COMMAND_TYPE,
    optional("request", element(&[Kind::CommandPayload])),
    optional("response", element(&[Kind::CommandPayload])),
];
const COMMAND: &[PropertySpec] = &[
    NAME,
    COMMAND_TYPE,
    optional("request", element(&[Kind::CommandRequest])),
    optional("response", element(&[Kind::CommandResponse])),
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
const NULLABLE_SCHEMA: &[PropertySpec] = &[NAME, SCHEMA, optional("nullable", Range::Boolean)];
const ARRAY: &[PropertySpec] = &[required("elementSchema", Range::Schema)];
const ENUM_VALUES: Elements = elements(&[Kind::EnumValue], Some(Kind::EnumValue));
const VALUE_SCHEMA: PropertySpec = required("valueSchema", Range::Primitives(&["integer", "string"]));
const ENUM_V2: &[PropertySpec] = &[set("enumValues", ENUM_VALUES, 1, |l| l.enum_values), VALUE_SCHEMA];
const ENUM: &[PropertySpec] = &[set("enumValues", ENUM_VALUES, 0, |l| l.enum_values), VALUE_SCHEMA];
const ENUM_VALUE: &[PropertySpec] = &[NAME, required("enumValue", Range::EnumValue)];
const MAP: &[PropertySpec] =
    &[required("mapKey", element(&[Kind::MapKey])), required("mapValue", element(&[Kind::MapValue]))];
const MAP_KEY: &[PropertySpec] = &[NAME, required("schema", Range::Primitives(&["string"]))];
const FIELDS: Elements = elements(&[Kind::Field], Some(Kind::Field));
const OBJECT_V2: &[PropertySpec] = &[set("fields", FIELDS, 1, |l| l.fields)];
const OBJECT: &[PropertySpec] = &[set("fields", FIELDS, 0, |l| l.fields)];
