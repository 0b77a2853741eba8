//! Every bound on a model, in one value. The defaults are Azure's.

/// Bounds on what [`crate::parse`] and [`crate::ModelSet`] accept. All are inclusive maxima.
///
/// Source: DTDL v2, the "Limits" columns; article "Azure Digital Twins service limits" for `model_bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of one document as compact JSON, in bytes.
    pub model_bytes: usize,
    /// Nesting of objects and arrays in one document; also bounds every recursion of the parser.
    pub json_depth: usize,
    /// `contents` of one Interface.
    pub contents: usize,
    /// Direct `extends` of one Interface.
    pub extends: usize,
    /// Levels of inheritance above one Interface.
    pub extends_depth: usize,
    /// Levels of Array, Enum, Map and Object inside each other.
    pub schema_depth: usize,
    /// `enumValues` of one Enum.
    pub enum_values: usize,
    /// `fields` of one Object.
    pub fields: usize,
    /// `properties` of one Relationship.
    pub relationship_properties: usize,
    /// Greatest `maxMultiplicity`.
    pub multiplicity: u32,
    /// `name`, in characters.
    pub name_chars: usize,
    /// `displayName` per language, in characters.
    pub display_name_chars: usize,
    /// `description` per language, in characters.
    pub description_chars: usize,
    /// `comment`, in characters.
    pub comment_chars: usize,
    /// `@id` of an Interface, in characters.
    pub interface_id_chars: usize,
    /// `@id` of any other element and any reference, in characters.
    pub id_chars: usize,
    /// Diagnostics kept per call; further ones are counted in a last diagnostic.
    pub diagnostics: usize,
    /// Accept contexts that are not known here; they bring cotypes that are not checked. ADT refuses them.
    pub undefined_extensions: bool,
}

impl Limits {
    /// What Azure Digital Twins accepts.
    #[must_use]
    pub const fn azure() -> Self {
        Self {
            model_bytes: 1024 * 1024,
            json_depth: 100,
            contents: 300,
            extends: 2,
            extends_depth: 10,
            schema_depth: 5,
            enum_values: 100,
            fields: 30,
            relationship_properties: 300,
            multiplicity: 500,
            name_chars: 64,
            display_name_chars: 64,
            description_chars: 512,
            comment_chars: 512,
            interface_id_chars: 128,
            id_chars: 2048,
            diagnostics: 1000,
            undefined_extensions: false,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::azure()
    }
}
