//! A message as a route sees it.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::names::{APPLICATION, BODY, SYSTEM, TWIN};
use crate::{
    eval::{Scope, walk},
    expr::{Path, Segment},
    value::Value,
};

/// What a route's condition can ask a message. Lifecycle, twin change and connection state events are messages too:
/// `opType`, `deviceId`, `hubName` and so on are application properties of theirs.
pub trait RoutedMessage {
    /// An application property. An implementation MUST find names without regard to ASCII case.
    fn app_property(&self, name: &str) -> Option<&str>;

    /// A system property, under one of these names, spelled exactly so: `connectionDeviceId`, `connectionModuleId`,
    /// `connectionAuthMethod`, `connectionAuthGenerationId`, `contentType`, `contentEncoding`, `correlationId`,
    /// `creationTimeUtc`, `dt-dataschema`, `dt-subject`, `enqueuedTime` (ISO 8601 in UTC), `interfaceName`,
    /// `messageId`, `messageSource`, `messageSchema`, `to`, `userId`. Other names come as the condition spells them,
    /// without the `$`.
    fn system_property(&self, name: &str) -> Option<Cow<'_, str>>;

    /// The body, only if its content type is `application/json` and its content encoding UTF-8, UTF-16 or UTF-32
    /// (neither depends on letter case) and it is valid JSON.
    fn body(&self) -> Option<&Json>;

    /// The twin of the device or, for a message of a module, of the module: its `tags` and `properties`.
    fn twin(&self) -> Option<&Json>;
}

/// A message, to the evaluator.
pub(super) struct MessageScope<'m>(pub(super) &'m dyn RoutedMessage);

impl Scope for MessageScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        match (path.root, path.segments.as_slice()) {
            (APPLICATION, [Segment::Name(name)]) => string(self.0.app_property(name).map(Cow::Borrowed)),
            (SYSTEM, [Segment::Name(name)]) => {
                string(self.0.system_property(name).or_else(|| self.dollar_application(name)))
            }
            // "You can't run queries or functions on the entire body reference": it is undefined, `$body[0]` too.
            (BODY, segments @ [Segment::Name(_), ..]) => document(self.0.body(), segments),
            (TWIN, segments @ [Segment::Name(_), ..]) => document(self.0.twin(), segments),
            _ => Value::Undefined,
        }
    }

    fn numeric_strings(&self) -> bool {
        true
    }
}

impl MessageScope<'_> {
    /// "If an application property name begins with $, then IoT Hub will search for it in the system properties, and
    /// if it is not found, then it will look in the application properties."
    fn dollar_application(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.app_property(&format!("${name}")).map(Cow::Borrowed)
    }
}

fn string(text: Option<Cow<'_, str>>) -> Value<'_> {
    text.map_or(Value::Undefined, Value::String)
}

fn document<'s>(document: Option<&'s Json>, segments: &[Segment]) -> Value<'s> {
    document.and_then(|document| walk(document, segments, true)).into()
}
