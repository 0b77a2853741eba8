//! The terms of DTDL v2's context and the DTMIs they stand for: a term that the context defines means something,
//! one it does not define is free (as a cotype, and as a property beside such a cotype).
//! Source: `DTDL.v2.context.json`.

use crate::semantic::{self, Edition};

/// Classes that are not elements of [`crate::metamodel`]: abstract ones and those of single schemas.
const ABSTRACT_CLASSES: [&str; 29] = [
    "BinaryPrefix",
    "BinaryUnit",
    "Boolean",
    "CommandType",
    "ComplexSchema",
    "Content",
    "Date",
    "DateTime",
    "DecimalPrefix",
    "DecimalUnit",
    "Double",
    "Duration",
    "Entity",
    "Float",
    "Integer",
    "Long",
    "NamedEntity",
    "NumericSchema",
    "PrimitiveSchema",
    "QuantitativeType",
    "RatioUnit",
    "Schema",
    "SchemaField",
    "SemanticType",
    "SemanticUnit",
    "String",
    "TemporalSchema",
    "Time",
    "UnitAttribute",
];

const ELEMENT_CLASSES: [&str; 16] = [
    "Array",
    "Command",
    "CommandPayload",
    "Component",
    "Enum",
    "EnumValue",
    "Field",
    "Interface",
    "Map",
    "MapKey",
    "MapValue",
    "Object",
    "Property",
    "Relationship",
    "Telemetry",
    "Unit",
];

const PROPERTIES: [&str; 31] = [
    "baseUnit",
    "bottomUnit",
    "commandType",
    "comment",
    "contents",
    "description",
    "displayName",
    "elementSchema",
    "enumValue",
    "enumValues",
    "exponent",
    "extends",
    "fields",
    "languageMajorVersion",
    "mapKey",
    "mapValue",
    "maxMultiplicity",
    "minMultiplicity",
    "name",
    "prefix",
    "properties",
    "request",
    "response",
    "schema",
    "schemas",
    "symbol",
    "target",
    "topUnit",
    "unit",
    "valueSchema",
    "writable",
];

const INSTANCES: [&str; 18] = [
    "asynchronous",
    "synchronous",
    "boolean",
    "date",
    "dateTime",
    "double",
    "duration",
    "float",
    "integer",
    "long",
    "string",
    "time",
    "lineString",
    "multiLineString",
    "multiPoint",
    "multiPolygon",
    "point",
    "polygon",
];

const PREFIXES: [&str; 28] = [
    "deci", "centi", "milli", "micro", "nano", "pico", "femto", "atto", "zepto", "yocto", "deka", "hecto",
    "kilo", "mega", "giga", "tera", "peta", "exa", "zetta", "yotta", "kibi", "mebi", "gibi", "tebi", "pebi",
    "exbi", "zebi", "yobi",
];

/// Whether DTDL's own context gives the term a meaning.
pub(crate) fn is_defined(term: &str) -> bool {
    ELEMENT_CLASSES.contains(&term)
        || ABSTRACT_CLASSES.contains(&term)
        || PROPERTIES.contains(&term)
        || INSTANCES.contains(&term)
        || PREFIXES.contains(&term)
        || semantic::semantic_type(term).is_some()
        || semantic::is_unit_type(term, Edition::Language)
        || semantic::unit(term).is_some()
}

/// The term of a class of the language: `dtmi:dtdl:class:Array;2` and `Array` both give `Array`.
pub(crate) fn class_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:dtdl:class:", version)
}

/// The term of a property: `dtmi:dtdl:property:name;2` and `name` both give `name`.
pub(crate) fn property_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:dtdl:property:", version)
}

/// The term of a semantic type, `dtmi:standard:class:…;2`.
pub(crate) fn semantic_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:standard:class:", version)
}

/// The term of a unit, `dtmi:standard:unit:…;2`.
pub(crate) fn unit_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:standard:unit:", version)
}

/// The term of a primitive schema, `dtmi:dtdl:instance:Schema:…;2`. Those of earlier versions mean the same.
pub(crate) fn primitive_term(text: &str, version: u8) -> Option<&str> {
    (2..=version).rev().find_map(|version| expanded(text, "dtmi:dtdl:instance:Schema:", version))
}

/// The term of a command type, `dtmi:dtdl:instance:CommandType:…;2`.
pub(crate) fn command_type_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:dtdl:instance:CommandType:", version)
}

/// The term of a geospatial schema, `dtmi:standard:schema:geospatial:…;2`.
pub(crate) fn geospatial_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:standard:schema:geospatial:", version)
}

/// The term of `scaledDecimal`, `dtmi:standard:schema:scaledDecimal;4`.
pub(crate) fn scaled_decimal_term(text: &str, version: u8) -> Option<&str> {
    expanded(text, "dtmi:standard:schema:", version).filter(|term| version >= 4 && *term == "scaledDecimal")
}

/// Whether the text has the form of a term, defined or not: no colon, and nothing that only an IRI has.
pub(crate) fn is_term(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A term as it stands, or the part of a DTMI between `prefix` and the language version.
/// Nothing for a DTMI of another form.
fn expanded<'t>(text: &'t str, prefix: &str, version: u8) -> Option<&'t str> {
    if !text.starts_with("dtmi:") {
        return Some(text);
    }
    let (term, found) = text.strip_prefix(prefix)?.split_once(';')?;
    (found.parse() == Ok(version)).then_some(term)
}
