//! Command: a function that can be called on what the twin stands for.

use std::sync::Arc;

use crate::element::{Builder, Meta};
use crate::metamodel::Kind;
use crate::reader::{Node, Val};
use crate::schema::Schema;

/// A Command.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its name, unique in the Interface and all it extends.
    pub name: String,
    /// Whether the caller waits for the response.
    pub command_type: CommandType,
    /// What the caller sends.
    pub request: Option<CommandPayload>,
    /// What the caller gets.
    pub response: Option<CommandPayload>,
    /// Identity and documentation.
    pub meta: Meta,
}

/// `commandType`, deprecated and without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandType {
    /// The default.
    #[default]
    Synchronous,
    /// The response is an acknowledgement only.
    Asynchronous,
}

/// A request or response.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandPayload {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub schema: Arc<Schema>,
    /// Whether it may be null or absent (DTDL v4).
    pub nullable: bool,
    /// Identity and documentation.
    pub meta: Meta,
}

impl Command {
    pub(crate) fn build<'n, 'v>(node: &'n Node<'v>, builder: &mut Builder<'n, 'v>) -> Option<Self> {
        let request = payload(node, "request", builder);
        let response = payload(node, "response", builder);
        let command_type = match node.text("commandType") {
            Some("asynchronous") => CommandType::Asynchronous,
            _ => CommandType::Synchronous,
        };
        Some(Self {
            name: node.text("name")?.to_owned(),
            command_type,
            request,
            response,
            meta: Meta::read(node),
        })
    }
}

fn payload<'n, 'v>(
    node: &'n Node<'v>,
    property: &str,
    builder: &mut Builder<'n, 'v>,
) -> Option<CommandPayload> {
    let kind = match (node.context.version, property) {
        (2, _) => Kind::CommandPayload,
        (_, "request") => Kind::CommandRequest,
        _ => Kind::CommandResponse,
    };
    let payload = builder.local(node, property, &[kind]).into_iter().next()?;
    let schema = builder.schema(payload, "schema");
    builder.check_value(payload, schema.as_deref());
    Some(CommandPayload {
        name: payload.text("name")?.to_owned(),
        schema: schema?,
        nullable: matches!(payload.value("nullable"), Some(Val::Boolean(true))),
        meta: Meta::read(payload),
    })
}
