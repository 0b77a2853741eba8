//! Extensions of the language: their contexts, in which versions their types can be used, and what their terms
//! stand for. The types themselves are tables in [`adjunct`]; semantic types and units are in [`crate::semantic`].
//!
//! Source: `DTDL.Extensions.md` and the article of each extension (Azure/opendigitaltwins-dtdl); for those without
//! a published article (Mqtt v4, QuantitativeTypes v3, Requirement v2, Iotoperations v4) the metamodel of
//! digitaltwinconsortium/DTDLParser (`SupplementalTypeCollection`). Layering has a context and no article, and counts as
//! unknown.

mod adjunct;
mod check;

pub(crate) use adjunct::{Adjunct, Rule, SchemaRule};

use crate::metamodel::PropertySpec;
use crate::semantic::Edition;

/// One version of one extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extension {
    IotCentralV2,
    IotOperationsV4,
    QuantitativeTypesV1,
    QuantitativeTypesV2,
    QuantitativeTypesV3,
    HistorizationV1,
    HistorizationV2,
    StreamingV1,
    AnnotationV1,
    AnnotationV2,
    OverridingV1,
    OverridingV2,
    InitializationV1,
    MqttV1,
    MqttV2,
    MqttV3,
    MqttV4,
    RequirementV1,
    RequirementV2,
}

const ALL: [Extension; 19] = [
    Extension::IotCentralV2,
    Extension::IotOperationsV4,
    Extension::QuantitativeTypesV1,
    Extension::QuantitativeTypesV2,
    Extension::QuantitativeTypesV3,
    Extension::HistorizationV1,
    Extension::HistorizationV2,
    Extension::StreamingV1,
    Extension::AnnotationV1,
    Extension::AnnotationV2,
    Extension::OverridingV1,
    Extension::OverridingV2,
    Extension::InitializationV1,
    Extension::MqttV1,
    Extension::MqttV2,
    Extension::MqttV3,
    Extension::MqttV4,
    Extension::RequirementV1,
    Extension::RequirementV2,
];

impl Extension {
    /// The extension with this context specifier.
    pub(crate) fn from_context(name: &str) -> Option<Self> {
        ALL.into_iter().find(|extension| extension.context() == name)
    }

    /// The context specifier.
    pub(crate) fn context(self) -> &'static str {
        match self {
            Self::IotCentralV2 => "dtmi:iotcentral:context;2",
            Self::IotOperationsV4 => "dtmi:iotoperations:context;4",
            Self::QuantitativeTypesV1 => "dtmi:dtdl:extension:quantitativeTypes;1",
            Self::QuantitativeTypesV2 => "dtmi:dtdl:extension:quantitativeTypes;2",
            Self::QuantitativeTypesV3 => "dtmi:dtdl:extension:quantitativeTypes;3",
            Self::HistorizationV1 => "dtmi:dtdl:extension:historization;1",
            Self::HistorizationV2 => "dtmi:dtdl:extension:historization;2",
            Self::StreamingV1 => "dtmi:dtdl:extension:streaming;1",
            Self::AnnotationV1 => "dtmi:dtdl:extension:annotation;1",
            Self::AnnotationV2 => "dtmi:dtdl:extension:annotation;2",
            Self::OverridingV1 => "dtmi:dtdl:extension:overriding;1",
            Self::OverridingV2 => "dtmi:dtdl:extension:overriding;2",
            Self::InitializationV1 => "dtmi:dtdl:extension:initialization;1",
            Self::MqttV1 => "dtmi:dtdl:extension:mqtt;1",
            Self::MqttV2 => "dtmi:dtdl:extension:mqtt;2",
            Self::MqttV3 => "dtmi:dtdl:extension:mqtt;3",
            Self::MqttV4 => "dtmi:dtdl:extension:mqtt;4",
            Self::RequirementV1 => "dtmi:dtdl:extension:requirement;1",
            Self::RequirementV2 => "dtmi:dtdl:extension:requirement;2",
        }
    }

    /// In which versions of the language its types can be used. The context may be named in any.
    pub(crate) fn versions(self) -> &'static [u8] {
        match self {
            Self::IotCentralV2 => &[2],
            Self::QuantitativeTypesV1
            | Self::HistorizationV1
            | Self::StreamingV1
            | Self::AnnotationV1
            | Self::OverridingV1
            | Self::MqttV1 => &[3],
            Self::InitializationV1 => &[2, 3],
            Self::IotOperationsV4 | Self::QuantitativeTypesV2 | Self::QuantitativeTypesV3 => &[4],
            Self::HistorizationV2
            | Self::AnnotationV2
            | Self::OverridingV2
            | Self::MqttV2
            | Self::MqttV3
            | Self::MqttV4
            | Self::RequirementV1
            | Self::RequirementV2 => &[3, 4],
        }
    }

    pub(crate) fn is_quantitative(self) -> bool {
        matches!(self, Self::QuantitativeTypesV1 | Self::QuantitativeTypesV2 | Self::QuantitativeTypesV3)
    }

    /// Which semantic types and units it brings.
    pub(crate) fn edition(self) -> Edition {
        match self {
            Self::QuantitativeTypesV3 => Edition::Third,
            other if other.is_quantitative() => Edition::First,
            _ => Edition::Language,
        }
    }

    /// The term of a class: `ValueAnnotation` and `dtmi:dtdl:extension:annotation:v1:ValueAnnotation` both give
    /// `ValueAnnotation`.
    pub(crate) fn class_term(self, text: &str) -> Option<&str> {
        self.term(text, "class:")
    }

    /// The term of a unit of QuantitativeTypes.
    pub(crate) fn unit_term(self, text: &str) -> Option<&str> {
        self.term(text, "unit:")
    }

    /// The term of an enumeration of units of QuantitativeTypes, such as `TemperatureUnit`.
    pub(crate) fn enum_term(self, text: &str) -> Option<&str> {
        self.term(text, "enum:")
    }

    /// The term of a schema of IoT Central.
    pub(crate) fn schema_term(self, text: &str) -> Option<&str> {
        self.term(text, "schema:")
    }

    /// The term of a property that `owner` brings.
    pub(crate) fn property_term<'t>(self, text: &'t str, owner: &str) -> Option<&'t str> {
        if self.has_sections() {
            return self.term(text, "property:");
        }
        self.term(text, "").map_or_else(|| Some(text), Some).and_then(|term| match term.split_once(':') {
            None => Some(term),
            Some((class, property)) => (class == owner).then_some(property),
        })
    }

    /// Whether its DTMIs tell classes, properties and the like apart.
    fn has_sections(self) -> bool {
        self.is_quantitative() || matches!(self, Self::IotCentralV2 | Self::IotOperationsV4)
    }

    fn term<'t>(self, text: &'t str, section: &str) -> Option<&'t str> {
        if !text.starts_with("dtmi:") {
            return Some(text);
        }
        let (family, version) = self.context().split_once(';')?;
        let rest = match family.strip_suffix(":context") {
            Some(partner) => {
                text.strip_prefix(partner)?.strip_prefix(':')?.strip_suffix(version)?.strip_suffix(';')?
            }
            None => {
                text.strip_prefix(family)?.strip_prefix(":v")?.strip_prefix(version)?.strip_prefix(':')?
            }
        };
        if self.has_sections() { rest.strip_prefix(section) } else { Some(rest) }
    }
}

/// The extensions in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Extensions(u32);

impl Extensions {
    pub(crate) fn add(&mut self, extension: Extension) {
        self.0 |= 1 << (extension as u32);
    }

    pub(crate) fn contains(self, extension: Extension) -> bool {
        self.0 & (1 << (extension as u32)) != 0
    }

    /// Those in force; of one extension, later versions first.
    pub(crate) fn iter(self) -> impl Iterator<Item = Extension> {
        ALL.into_iter().rev().filter(move |extension| self.contains(*extension))
    }

    /// The cotype with this term or DTMI, with the extension that brings it.
    pub(crate) fn adjunct(self, text: &str) -> Option<(Extension, &'static Adjunct)> {
        self.iter().find_map(|extension| {
            let term = extension.class_term(text)?;
            extension.adjuncts().iter().find(|row| row.name == term).map(|row| (extension, row))
        })
    }

    pub(crate) fn quantitative(self) -> Option<Extension> {
        self.iter().find(|extension| extension.is_quantitative())
    }
}

/// The property that one of these cotypes brings.
pub(crate) fn property(
    cotypes: &[(Extension, &'static Adjunct)],
    text: &str,
) -> Option<&'static PropertySpec> {
    cotypes.iter().find_map(|(extension, adjunct)| {
        let term = extension.property_term(text, adjunct.name)?;
        adjunct.properties.iter().find(|spec| spec.name == term)
    })
}
