//! What names mean in a route's condition.

use std::cell::Cell;

use crate::{
    cursor::{Cursor, RawPath},
    error::QueryError,
    expr::{Path, Segment},
    functions::{HUB, Signature},
    parser::{Dialect, Style},
};

/// [`Path::root`]: an application property; one segment.
pub(super) const APPLICATION: u16 = 0;
/// [`Path::root`]: a system property; one segment, in the trait's spelling.
pub(super) const SYSTEM: u16 = 1;
/// [`Path::root`]: the message's body.
pub(super) const BODY: u16 = 2;
/// [`Path::root`]: the device's twin.
pub(super) const TWIN: u16 = 3;

/// The system properties: the name a message answers to, and the other names a condition may use.
/// Sources: Azure "IoT Hub message routing query syntax" and "Create and read IoT Hub messages", system properties.
const SYSTEM_PROPERTIES: &[(&str, &[&str])] = &[
    ("connectionDeviceId", &["iothub-connection-device-id"]),
    ("connectionModuleId", &["iothub-connection-module-id"]),
    ("connectionAuthMethod", &["iothub-connection-auth-method"]),
    ("connectionAuthGenerationId", &["iothub-connection-auth-generation-id"]),
    ("contentType", &["content-type"]),
    ("contentEncoding", &["content-encoding"]),
    ("correlationId", &["correlation-id"]),
    ("creationTimeUtc", &["iothub-creation-time-utc"]),
    ("dt-dataschema", &["iothub-dt-dataschema"]),
    ("dt-subject", &["iothub-dt-subject"]),
    ("enqueuedTime", &["iothub-enqueuedtime"]),
    ("interfaceName", &["iothub-interface-name", "iothub-interface-id"]),
    ("messageId", &["message-id"]),
    ("messageSource", &["iothub-message-source"]),
    ("messageSchema", &["iothub-message-schema"]),
    ("to", &[]),
    ("userId", &["user-id"]),
];

/// The names of a condition, and which parts of a message they were about.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) body: Cell<bool>,
    pub(super) twin: Cell<bool>,
}

impl Dialect for Names {
    fn signatures(&self) -> &'static [Signature] {
        HUB
    }

    fn resolve(&self, path: RawPath, cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        let head = path.head();
        if head.eq_ignore_ascii_case("$body") {
            self.body.set(true);
            return Ok(Path { root: BODY, segments: path.segments.into_iter().skip(1).collect() });
        }
        if head.eq_ignore_ascii_case("$twin") {
            self.twin.set(true);
            return Ok(Path { root: TWIN, segments: path.segments.into_iter().skip(1).collect() });
        }
        let name = joined(&path).ok_or_else(|| {
            cursor.error_at(
                path.span,
                "a message property is a string: only $body and $twin have array elements",
            )
        })?;
        Ok(match name.strip_prefix('$') {
            Some(system) => Path { root: SYSTEM, segments: vec![Segment::Name(spelling(system).to_owned())] },
            None => Path { root: APPLICATION, segments: vec![Segment::Name(name)] },
        })
    }

    fn style(&self) -> Style {
        Style::Hub
    }
}

/// A property's name may have dots in it.
fn joined(path: &RawPath) -> Option<String> {
    let names: Option<Vec<&str>> = path.segments.iter().map(Segment::name).collect();
    names.map(|names| names.join("."))
}

/// The trait's spelling of a system property; what is not known stays as it is.
fn spelling(name: &str) -> &str {
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    SYSTEM_PROPERTIES
        .iter()
        .find(|(known, others)| same(known) || others.iter().any(|other| same(other)))
        .map_or(name, |(known, _)| known)
}
