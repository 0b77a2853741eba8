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
//! | `vocabulary`, `semantic`, `metamodel` | the language as tables: terms, semantic types and units, classes with their properties |
//! | `context`, `literal`, `reader` | JSON-LD surface: contexts, literals, elements; knows the tables, not the meaning |
//! | `element`, `schema` | the typed model, one file per kind of element |
//! | `parse` | documents in, models or all diagnostics out |
//! | `model_set` | references between models, inheritance, the resolved `Interface` |
//! | `instance` | twins and relationships against an `Interface` |
//!
//! Source of the rules: DTDL v2 (Azure/opendigitaltwins-dtdl, `DTDL/Docs/en-US/DTDL.v2.md`), and for instances the
//! articles "Manage digital twins" and "Digital Twins service limits" of Azure Digital Twins (ADT).

mod context;
mod dtmi;
mod element;
mod error;
mod instance;
mod limits;
mod literal;
mod measure;
mod metamodel;
mod model_set;
mod parse;
mod reader;
mod schema;
mod semantic;
mod vocabulary;

pub use dtmi::{Dtmi, DtmiError};
pub use element::{
    Command, CommandPayload, CommandType, Component, Content, Localized, Meta, Model, Property, Relationship,
    Telemetry,
};
pub use error::{Diagnostic, Violation};
pub use limits::Limits;
pub use model_set::{Interface, ModelSet};
pub use parse::parse;
pub use schema::{
    ArraySchema, EnumSchema, EnumValue, EnumValueKind, Field, Geospatial, MapSchema, ObjectSchema, Primitive,
    Schema,
};
pub use semantic::{SemanticType, Unit};
