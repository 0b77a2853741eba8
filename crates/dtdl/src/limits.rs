//! Every bound on a model, in one value. The defaults are Azure's.

/// Bounds on what [`crate::parse`] and [`crate::ModelSet`] accept. All are inclusive maxima.
///
/// What the language itself bounds is in [`LanguageLimits`], per version; the rest holds for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of one Interface as compact JSON, in bytes; Interfaces defined inside it count by themselves.
    pub model_bytes: usize,
    /// Nesting of objects and arrays in one document; also bounds every recursion of the parser.
    pub json_depth: usize,
    /// The highest version of DTDL that is accepted; the lowest is 2.
    pub max_version: u8,
    /// DTDL v2.
    pub v2: LanguageLimits,
    /// DTDL v3.
    pub v3: LanguageLimits,
    /// DTDL v4.
    pub v4: LanguageLimits,
    /// DTDL v4 without its own limits, under the limit extension `dtmi:dtdl:limits:onvif`.
    pub onvif: LanguageLimits,
    /// As `onvif`, under `dtmi:dtdl:limits:aio`.
    pub aio: LanguageLimits,
    /// The limit extensions that a model may ask for, without version, such as `dtmi:dtdl:limits:onvif`.
    pub limit_extensions: Vec<String>,
    /// Contexts that are not known here; they bring cotypes that are not checked.
    pub undefined_extensions: UndefinedExtensions,
    /// Diagnostics kept per call; further ones are counted in a last diagnostic.
    pub diagnostics: usize,
}

/// When a context that is not known here is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndefinedExtensions {
    /// Never: an unknown context is a fault. So does ADT.
    Never,
    /// In DTDL v2 only, which is the language's own default.
    OfVersion2,
    /// In every version.
    Always,
}

impl UndefinedExtensions {
    pub(crate) fn allowed(self, version: u8) -> bool {
        match self {
            Self::Never => false,
            Self::OfVersion2 => version == 2,
            Self::Always => true,
        }
    }
}

/// What one version of the language bounds. Source: the "Limits" columns of `DTDL.v2.md`, `DTDL.v3.md` and
/// `DTDL.v4.md`, and `DTDL.onvif.v1.md` (Azure/opendigitaltwins-dtdl).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanguageLimits {
    /// `contents` of one Interface.
    pub contents: usize,
    /// Elements under `contents`, at any depth, with those of all that is extended and of Components.
    pub elements: usize,
    /// Direct `extends` of one Interface.
    pub extends: usize,
    /// Interfaces in the whole hierarchy above one Interface.
    pub extends_count: usize,
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
}

impl LanguageLimits {
    /// DTDL v2.
    #[must_use]
    pub const fn v2() -> Self {
        Self {
            contents: 300,
            elements: usize::MAX,
            extends: 2,
            extends_count: usize::MAX,
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
        }
    }

    /// DTDL v3: sets are bounded by the whole hierarchy instead of one by one.
    #[must_use]
    pub const fn v3() -> Self {
        Self {
            contents: usize::MAX,
            elements: 100_000,
            extends: usize::MAX,
            extends_count: 1024,
            enum_values: usize::MAX,
            fields: usize::MAX,
            relationship_properties: usize::MAX,
            multiplicity: i32::MAX.unsigned_abs(),
            name_chars: 512,
            // The published table says 64; the language's own cases and parser have 512.
            display_name_chars: 512,
            ..Self::v2()
        }
    }

    /// DTDL v4.
    #[must_use]
    pub const fn v4() -> Self {
        Self { extends_depth: 12, schema_depth: 8, ..Self::v3() }
    }

    /// DTDL v4 under the limit extension Onvif v1.
    #[must_use]
    pub const fn onvif() -> Self {
        Self { schema_depth: 24, description_chars: 4096, ..Self::v4() }
    }
}

impl Limits {
    /// What Azure Digital Twins accepts: DTDL v2 and v3, no unknown contexts, no limit extensions.
    /// Source: articles "Azure Digital Twins service limits" and "Learn about twin models".
    #[must_use]
    pub const fn azure() -> Self {
        Self {
            model_bytes: 1024 * 1024,
            json_depth: 120,
            max_version: 3,
            v2: LanguageLimits::v2(),
            v3: LanguageLimits::v3(),
            v4: LanguageLimits::v4(),
            onvif: LanguageLimits::onvif(),
            aio: LanguageLimits::onvif(),
            limit_extensions: Vec::new(),
            undefined_extensions: UndefinedExtensions::Never,
            diagnostics: 1000,
        }
    }

    /// What the language itself accepts: every version known here, and unknown contexts in v2.
    #[must_use]
    pub fn language() -> Self {
        Self { max_version: 4, undefined_extensions: UndefinedExtensions::OfVersion2, ..Self::azure() }
    }

    /// What bounds an element.
    pub(crate) fn of(&self, version: u8, set: LimitSet) -> &LanguageLimits {
        match (version, set) {
            (_, LimitSet::Onvif) => &self.onvif,
            (_, LimitSet::Aio) => &self.aio,
            (2, LimitSet::Standard) => &self.v2,
            (3, LimitSet::Standard) => &self.v3,
            (_, LimitSet::Standard) => &self.v4,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::azure()
    }
}

/// Which limits a model's context asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LimitSet {
    /// Those of the language version.
    #[default]
    Standard,
    Onvif,
    Aio,
}

impl LimitSet {
    /// The set of a limit extension, by its context without version.
    pub(crate) fn of_context(family: &str) -> Option<Self> {
        match family {
            "dtmi:dtdl:limits:onvif" => Some(Self::Onvif),
            "dtmi:dtdl:limits:aio" => Some(Self::Aio),
            _ => None,
        }
    }
}
