//! The cotypes of the extensions, as tables: on which elements, with which properties, under which rules.

use crate::extension::Extension;
use crate::metamodel::{Kind, PropertySpec, Range, optional, required};

/// A cotype.
#[derive(Debug)]
pub(crate) struct Adjunct {
    pub(crate) name: &'static str,
    pub(crate) kinds: &'static [Kind],
    pub(crate) properties: &'static [PropertySpec],
    pub(crate) rules: &'static [Rule],
}

/// What a cotype asks beside its kinds and properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The element's `schema`.
    Schema(SchemaRule),
    /// The element's `schema` is an Object with this cotype.
    SchemaCotype(&'static str),
    /// Another cotype that must be there too.
    Beside(&'static str),
    /// Another cotype that must not be there.
    NotBeside(&'static str),
    /// A Field's Object has one of these cotypes, and no other Field of it has this one.
    Within(&'static [&'static str]),
    /// Each Field of the Object has one of these cotypes.
    FieldsHave(&'static [&'static str]),
    /// `index` is 1 or more, and unique among its siblings.
    UniqueIndex,
    /// `annotates` names a Property or Telemetry of the Interface.
    Annotates,
    /// `overrides` names an extension's property of what `annotates` names.
    Overrides,
    /// The value of this property of the cotype is one of the element's `schema`.
    Conforms(&'static str),
    /// `writable` is not true.
    NotWritable,
}

/// A set of schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SchemaRule {
    Object,
    Enum,
    Map,
    String,
    Numeric,
    NumericOrString,
    /// A geospatial schema or IoT Central's `geopoint`.
    Place,
}

impl Extension {
    /// Its cotypes, without semantic types.
    pub(crate) fn adjuncts(self) -> &'static [Adjunct] {
        match self {
            Self::IotCentralV2 => IOT_CENTRAL,
            Self::IotOperationsV4 => IOT_OPERATIONS,
            Self::QuantitativeTypesV1 | Self::QuantitativeTypesV2 | Self::QuantitativeTypesV3 => &[],
            Self::HistorizationV1 | Self::HistorizationV2 => HISTORIZATION,
            Self::StreamingV1 => STREAMING,
            Self::AnnotationV1 | Self::AnnotationV2 => ANNOTATION,
            Self::OverridingV1 | Self::OverridingV2 => OVERRIDING,
            Self::InitializationV1 => INITIALIZATION,
            Self::MqttV1 => MQTT_V1,
            Self::MqttV2 => MQTT_V2,
            Self::MqttV3 => MQTT_V3,
            Self::MqttV4 => MQTT_V4,
            Self::RequirementV1 | Self::RequirementV2 => REQUIREMENT,
        }
    }
}

const fn adjunct(name: &'static str, kinds: &'static [Kind]) -> Adjunct {
    Adjunct { name, kinds, properties: &[], rules: &[] }
}

const STREAMS: &[Kind] = &[Kind::Property, Kind::Telemetry];
const VALUES: &[Kind] = &[
    Kind::CommandRequest,
    Kind::CommandResponse,
    Kind::Field,
    Kind::MapValue,
    Kind::Property,
    Kind::Telemetry,
];
const NUMERIC: Rule = Rule::Schema(SchemaRule::Numeric);

/// Source: `DTDL.iotcentral.v2.md`.
const IOT_CENTRAL: &[Adjunct] = &[
    Adjunct {
        name: "Event",
        kinds: STREAMS,
        properties: &[],
        rules: &[Rule::Schema(SchemaRule::NumericOrString)],
    },
    Adjunct { name: "Location", kinds: STREAMS, properties: &[], rules: &[Rule::Schema(SchemaRule::Place)] },
    Adjunct { name: "State", kinds: STREAMS, properties: &[], rules: &[Rule::Schema(SchemaRule::Enum)] },
];

const fn tag(name: &'static str) -> PropertySpec {
    required(name, Range::Text(|_| 128))
}

/// Source: the metamodel of DTDLParser; no article is published.
const IOT_OPERATIONS: &[Adjunct] = &[
    Adjunct {
        name: "Composite",
        kinds: &[Kind::Interface],
        properties: &[tag("ontology")],
        rules: &[Rule::NotBeside("Event")],
    },
    Adjunct {
        name: "Congruence",
        kinds: &[Kind::Array, Kind::Enum, Kind::Interface, Kind::Map, Kind::Object],
        properties: &[tag("typeRef")],
        rules: &[],
    },
    adjunct("Detail", &[Kind::Object]),
    adjunct("Event", &[Kind::Interface]),
    Adjunct {
        name: "GroupMember",
        kinds: &[Kind::Command],
        properties: &[required("group", Range::Name)],
        rules: &[],
    },
    Adjunct {
        name: "HasCapability",
        kinds: &[Kind::Relationship],
        properties: &[],
        rules: &[Rule::NotBeside("HasComponent")],
    },
    adjunct("HasComponent", &[Kind::Relationship]),
    Adjunct {
        name: "Limited",
        kinds: VALUES,
        properties: &[optional("maximum", Range::Number), optional("minimum", Range::Number)],
        rules: &[NUMERIC, Rule::Conforms("maximum"), Rule::Conforms("minimum")],
    },
    Adjunct {
        name: "Precise",
        kinds: VALUES,
        properties: &[required("decimalPlaces", Range::Integer)],
        rules: &[NUMERIC],
    },
    Adjunct {
        name: "Qualified",
        kinds: &[
            Kind::Command,
            Kind::Component,
            Kind::Field,
            Kind::Property,
            Kind::Relationship,
            Kind::Telemetry,
        ],
        properties: &[tag("namespace")],
        rules: &[],
    },
    Adjunct {
        name: "ScaledStatically",
        kinds: VALUES,
        properties: &[required("scaleFactor", Range::Number)],
        rules: &[NUMERIC, Rule::Conforms("scaleFactor")],
    },
    Adjunct { name: "Subject", kinds: &[Kind::Field], properties: &[], rules: &[Rule::Within(&["Detail"])] },
];

/// Source: `DTDL.historization.v1.md`, `.v2.md`.
const HISTORIZATION: &[Adjunct] = &[adjunct("Historized", STREAMS)];

/// Source: `DTDL.streaming.v1.md`.
const STREAMING: &[Adjunct] =
    &[Adjunct { name: "Streaming", kinds: &[Kind::Property], properties: &[], rules: &[Rule::NotWritable] }];

/// Source: `DTDL.annotation.v1.md`, `.v2.md`.
const ANNOTATION: &[Adjunct] = &[Adjunct {
    name: "ValueAnnotation",
    kinds: STREAMS,
    properties: &[required("annotates", Range::Text(|_| usize::MAX))],
    rules: &[Rule::Annotates],
}];

/// Source: `DTDL.overriding.v1.md`, `.v2.md`.
const OVERRIDING: &[Adjunct] = &[Adjunct {
    name: "Override",
    kinds: &[Kind::Property],
    properties: &[required("overrides", Range::PropertyName)],
    rules: &[Rule::Beside("ValueAnnotation"), Rule::NotBeside("Initialized"), Rule::Overrides],
}];

/// Source: `DTDL.initialization.v1.md` (the preview of v3).
const INITIALIZATION: &[Adjunct] = &[Adjunct {
    name: "Initialized",
    kinds: &[Kind::Property],
    properties: &[required("initialValue", Range::Anything)],
    rules: &[Rule::Conforms("initialValue")],
}];

/// Source: `DTDL.requirement.v1.md`.
const REQUIREMENT: &[Adjunct] = &[adjunct("Required", &[Kind::Field])];

const CACHEABLE: Adjunct = Adjunct {
    name: "Cacheable",
    kinds: &[Kind::Command],
    properties: &[required("ttl", Range::Duration)],
    rules: &[Rule::Beside("Idempotent")],
};
const IDEMPOTENT: Adjunct = adjunct("Idempotent", &[Kind::Command]);
const INDEXED: Adjunct = Adjunct {
    name: "Indexed",
    kinds: &[Kind::EnumValue, Kind::Field, Kind::Telemetry],
    properties: &[required("index", Range::Integer)],
    rules: &[Rule::UniqueIndex],
};
const TRANSPARENT: Adjunct = Adjunct {
    name: "Transparent",
    kinds: &[Kind::CommandRequest, Kind::CommandResponse],
    properties: &[],
    rules: &[Rule::Schema(SchemaRule::Object)],
};
const COMMAND_TOPIC: PropertySpec = optional("commandTopic", Range::TopicPattern);
const TELEMETRY_TOPIC: PropertySpec = optional("telemetryTopic", Range::TopicPattern);
const PAYLOAD_FORMAT: PropertySpec = required("payloadFormat", Range::Text(|_| usize::MAX));
const COMMAND_GROUP: PropertySpec = optional("cmdServiceGroupId", Range::TopicLabel);
const TELEMETRY_GROUP: PropertySpec = optional("telemServiceGroupId", Range::TopicLabel);

const fn mqtt(properties: &'static [PropertySpec]) -> Adjunct {
    Adjunct { name: "Mqtt", kinds: &[Kind::Interface], properties, rules: &[] }
}

const fn field(name: &'static str, rules: &'static [Rule]) -> Adjunct {
    Adjunct { name, kinds: &[Kind::Field], properties: &[], rules }
}

const fn object(name: &'static str, rules: &'static [Rule]) -> Adjunct {
    Adjunct { name, kinds: &[Kind::Object], properties: &[], rules }
}

/// Source: `DTDL.mqtt.v1.md`.
const MQTT_V1: &[Adjunct] =
    &[CACHEABLE, IDEMPOTENT, INDEXED, TRANSPARENT, mqtt(&[COMMAND_TOPIC, PAYLOAD_FORMAT, TELEMETRY_TOPIC])];

const GROUPS: &[PropertySpec] =
    &[COMMAND_GROUP, COMMAND_TOPIC, PAYLOAD_FORMAT, TELEMETRY_TOPIC, TELEMETRY_GROUP];

/// Source: `DTDL.mqtt.v2.md`.
const MQTT_V2: &[Adjunct] = &[CACHEABLE, IDEMPOTENT, INDEXED, TRANSPARENT, mqtt(GROUPS)];

const RESULT: &[&str] = &["Result"];
const ERROR: &[&str] = &["Error"];

/// Source: `DTDL.mqtt.v3.md`.
const MQTT_V3: &[Adjunct] = &[
    CACHEABLE,
    IDEMPOTENT,
    INDEXED,
    TRANSPARENT,
    mqtt(GROUPS),
    object("Error", &[]),
    field("ErrorMessage", &[Rule::Schema(SchemaRule::String), Rule::Within(ERROR)]),
    field("ErrorResult", &[Rule::SchemaCotype("Error"), Rule::Within(RESULT), Rule::NotBeside("Required")]),
    field("NormalResult", &[Rule::Within(RESULT), Rule::NotBeside("Required")]),
    object("Result", &[Rule::FieldsHave(&["NormalResult", "ErrorResult"])]),
];

const RESULT_OR_ERROR: &[&str] = &["Result", "Error"];
const PROPERTY_RESULT: &[&str] = &["PropertyResult"];

/// Source: the metamodel of DTDLParser; ADR 22 and 23 of Azure/iot-operations-sdks.
const MQTT_V4: &[Adjunct] = &[
    CACHEABLE,
    IDEMPOTENT,
    INDEXED,
    TRANSPARENT,
    mqtt(&[
        COMMAND_GROUP,
        COMMAND_TOPIC,
        PAYLOAD_FORMAT,
        optional("propertyTopic", Range::TopicPattern),
        TELEMETRY_TOPIC,
        TELEMETRY_GROUP,
    ]),
    object("Error", &[]),
    field("ErrorCode", &[Rule::Schema(SchemaRule::Enum), Rule::Within(RESULT_OR_ERROR)]),
    field("ErrorInfo", &[Rule::Within(RESULT_OR_ERROR)]),
    field("ErrorMessage", &[Rule::Schema(SchemaRule::String), Rule::Within(ERROR)]),
    field("ErrorResult", &[Rule::SchemaCotype("Error"), Rule::Within(RESULT), Rule::NotBeside("Required")]),
    field("NormalResult", &[Rule::Within(RESULT), Rule::NotBeside("Required")]),
    object("Result", &[Rule::FieldsHave(&["NormalResult", "ErrorResult", "ErrorCode", "ErrorInfo"])]),
    object("PropertyResult", &[Rule::FieldsHave(&["PropertyValue", "ReadError", "WriteError"])]),
    field("PropertyValue", &[Rule::Within(PROPERTY_RESULT)]),
    field("ReadError", &[Rule::SchemaCotype("Error"), Rule::Within(PROPERTY_RESULT)]),
    Adjunct {
        name: "Fragmented",
        kinds: &[Kind::Property, Kind::Field],
        properties: &[],
        rules: &[Rule::Schema(SchemaRule::Map)],
    },
    field("WriteError", &[Rule::SchemaCotype("Error"), Rule::Within(PROPERTY_RESULT)]),
];
