//! Interface: a model. [`Model`] is what its author wrote; the view with inherited contents is
//! [`crate::Interface`].

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::element::{Builder, Command, Component, Localized, Meta, Property, Relationship, Telemetry};
use crate::limits::LimitSet;
use crate::metamodel::{CONTENTS, Kind, SCHEMAS};
use crate::reader::Node;
use crate::schema::Schema;

/// One Interface, valid by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// `@id`.
    pub id: Dtmi,
    /// The DTDL version: 2, 3 or 4.
    pub version: u8,
    /// `displayName`, by language tag.
    pub display_name: Localized,
    /// `description`, by language tag.
    pub description: Localized,
    /// `comment`.
    pub comment: Option<String>,
    /// The Interfaces it extends, in order.
    pub extends: Vec<Dtmi>,
    /// Its own contents by name, in order; not those inherited.
    pub contents: IndexMap<String, Content>,
    /// Its reusable schemas.
    pub schemas: IndexMap<Dtmi, Arc<Schema>>,
    /// The cotypes that extensions known here bring, such as `Mqtt`.
    pub cotypes: Vec<&'static str>,
    /// The properties that these cotypes bring, such as `telemetryTopic`, by their terms.
    pub extension_properties: IndexMap<&'static str, Value>,
    /// The document as given, verbatim. For an Interface that was defined inside another: that object, with the
    /// contexts around it added.
    pub source: Value,
    /// Whose limits hold for it.
    pub(crate) limit_set: LimitSet,
    /// How many elements are under its own contents.
    pub(crate) elements: usize,
}

/// A part of an Interface.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A Property.
    Property(Arc<Property>),
    /// A Telemetry.
    Telemetry(Arc<Telemetry>),
    /// A Command.
    Command(Arc<Command>),
    /// A Relationship.
    Relationship(Arc<Relationship>),
    /// A Component.
    Component(Arc<Component>),
}

impl Content {
    /// Identity, documentation and cotypes.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Property(content) => &content.meta,
            Self::Telemetry(content) => &content.meta,
            Self::Command(content) => &content.meta,
            Self::Relationship(content) => &content.meta,
            Self::Component(content) => &content.meta,
        }
    }

    /// The Interface of a Component.
    pub(crate) fn component_schema(&self) -> Option<&Dtmi> {
        match self {
            Self::Component(component) => Some(&component.schema),
            _ => None,
        }
    }

    /// Whether both are the same definition, inherited along two ways.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Property(a), Self::Property(b)) => Arc::ptr_eq(a, b),
            (Self::Telemetry(a), Self::Telemetry(b)) => Arc::ptr_eq(a, b),
            (Self::Command(a), Self::Command(b)) => Arc::ptr_eq(a, b),
            (Self::Relationship(a), Self::Relationship(b)) => Arc::ptr_eq(a, b),
            (Self::Component(a), Self::Component(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<(String, Self)> {
        match node.kind {
            Kind::Property => {
                Property::build(node, builder).map(|c| (c.name.clone(), Self::Property(Arc::new(c))))
            }
            Kind::Telemetry => {
                Telemetry::build(node, builder).map(|c| (c.name.clone(), Self::Telemetry(Arc::new(c))))
            }
            Kind::Command => {
                Command::build(node, builder).map(|c| (c.name.clone(), Self::Command(Arc::new(c))))
            }
            Kind::Relationship => {
                Relationship::build(node, builder).map(|c| (c.name.clone(), Self::Relationship(Arc::new(c))))
            }
            Kind::Component => {
                Component::build(node, builder).map(|c| (c.name.clone(), Self::Component(Arc::new(c))))
            }
            _ => None,
        }
    }
}

impl Model {
    /// The models that must exist for this one to be valid: what it extends and its components' Interfaces, each
    /// once, in order. Targets of Relationships are not among them: ADT lets them come later, or never.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dtmi> {
        let components = self.contents.values().filter_map(Content::component_schema);
        let mut ids: Vec<Dtmi> = Vec::new();
        for id in self.extends.iter().chain(components) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        ids
    }

    /// The path of one of its own contents, relative to the model.
    pub(crate) fn content_path(&self, name: &str) -> String {
        let is_it = |content: &Value| content.get("name").is_some_and(|found| found == name);
        let index =
            self.source.get("contents").and_then(Value::as_array).and_then(|all| all.iter().position(is_it));
        index.map_or_else(|| "$.contents".to_owned(), |index| format!("$.contents[{index}]"))
    }

    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let mut contents = IndexMap::new();
        let found = builder.local(node, "contents", CONTENTS);
        let telemetries: Vec<_> = found.iter().copied().filter(|node| node.kind == Kind::Telemetry).collect();
        builder.check_indices(&telemetries);
        let elements = found.iter().map(|content| builder.count(content)).sum();
        for content in found {
            if let Some((name, built)) = Content::build(content, builder)
                && contents.insert(name, built).is_some()
            {
                builder.duplicate_name(content, &content.path, "contents of an Interface");
            }
        }
        let extends = builder.interfaces(node, "extends");
        let mut schemas = IndexMap::new();
        for schema in builder.local(node, "schemas", SCHEMAS) {
            if let (Some(id), Some(built)) = (schema.id.clone(), builder.root_schema(schema)) {
                schemas.insert(id, built);
            }
        }
        let meta = Meta::read(node);
        Some(Self {
            id: meta.id?,
            version: node.context.version,
            display_name: meta.display_name,
            description: meta.description,
            comment: meta.comment,
            extends,
            contents,
            schemas,
            cotypes: meta.cotypes,
            extension_properties: meta.extension_properties,
            source: builder.source(node),
            limit_set: node.context.limit_set,
            elements,
        })
    }
}
