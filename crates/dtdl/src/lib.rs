//! DTDL, the Digital Twins Definition Language: parse and validate models, resolve them across a set,
//! and validate an instance (a twin, a relationship) against its model.
//!
//! Pure: no I/O, no clock, no knowledge of HTTP or storage. The order of work is
//!
//! ```text
//! JSON documents ──parse()──▶ Vec<Model> ──ModelSet::with()──▶ ModelSet ──get()──▶ Interface ──check_…()──▶ Violation
//!                 (each model for itself)   (references, extends)          (inherited contents merged)
//! ```
//!
//! | file | concern |
//! |---|---|
//! | `dtmi` | identifiers |
//! | `limits`, `measure` | every bound, and the check of a document's size and depth before anything recurses |
//! | `vocabulary`, `semantic`, `metamodel` | the language as tables per version: terms, semantic types and units, classes with their properties |
//! | `extension` | the extensions of the language as tables: contexts, cotypes with their properties and rules |
//! | `context`, `literal`, `reader` | JSON-LD surface: contexts, literals, elements; knows the tables, not the meaning |
//! | `element`, `schema` | the typed model, one file per kind of element |
//! | `parse` | documents in, models or all diagnostics out |
//! | `model_set` | references between models, inheritance, the resolved `Interface` |
//! | `instance` | twins and relationships against an `Interface` |
//! | `validate`, `json`, `locate` | whole sets and files checked offline; texts to JSON; where in a text a JSON path is |
//!
//! Source of the rules: DTDL v2, v3 and v4 and their extensions (Azure/opendigitaltwins-dtdl, `DTDL.v2.md`, `DTDL.v3.md`,
//! `DTDL.v4.md`, `DTDL.Extensions.md`), and for instances the articles "Manage digital twins" and "Digital Twins service
//! limits" of Azure Digital Twins (ADT).

mod context;
mod dtmi;
mod element;
mod error;
mod extension;
mod instance;
mod json;
mod limits;
mod literal;
mod locate;
mod measure;
mod metamodel;
mod model_set;
mod parse;
mod reader;
mod schema;
mod semantic;
mod validate;
mod vocabulary;

pub use context::version_of;
pub use dtmi::{Dtmi, DtmiError};
pub use element::{
    Command, CommandPayload, CommandType, Component, Content, Localized, Meta, Model, Property, Relationship,
    Telemetry,
};
pub use error::{Diagnostic, Violation};
pub use instance::Link;
pub use limits::{LanguageLimits, Limits, UndefinedExtensions};
pub use model_set::{Interface, ModelSet};
pub use parse::{parse, parse_text};
pub use schema::{
    ArraySchema, EnumSchema, EnumValue, EnumValueKind, Field, Geospatial, MapSchema, ObjectSchema, Primitive,
    RecursiveSchema, Schema,
};
pub use semantic::{SemanticType, Unit};
pub use validate::{Verdict, validate, validate_line, validate_texts};
