//! What names mean in the filter of an event route.

use crate::{
    cursor::{Cursor, RawPath},
    error::{QueryError, did_you_mean},
    expr::{Path, Segment},
    functions::{Signature, TWINS},
    parser::{Dialect, Style},
};

/// [`Path::root`]: an attribute; one segment.
pub(super) const ATTRIBUTE: u16 = 0;
/// [`Path::root`]: the body; at least one segment.
pub(super) const BODY: u16 = 1;

/// The attributes of a notification (Azure "Event notifications"), and the name that older articles and the tests of the
/// SDKs have for the family of a type.
const ATTRIBUTES: [&str; 10] = [
    "id",
    "source",
    "specversion",
    "type",
    "subject",
    "time",
    "dataschema",
    "datacontenttype",
    "traceparent",
    "$eventType",
];
const BODY_NAME: &str = "$body";

/// The names of a filter.
pub(super) struct Names;

impl Dialect for Names {
    fn signatures(&self) -> &'static [Signature] {
        TWINS
    }

    fn resolve(&self, path: RawPath, cursor: &Cursor<'_>) -> Result<Path, QueryError> {
        let (head, span) = (path.head().to_owned(), path.span);
        let inner = path.segments.len() > 1;
        if head == BODY_NAME && inner {
            return Ok(Path { root: BODY, segments: path.segments.into_iter().skip(1).collect() });
        }
        if head == BODY_NAME {
            return Err(cursor.error_at(span, "expected a property of the body, such as $body.temperature"));
        }
        if !ATTRIBUTES.contains(&head.as_str()) {
            let known = ATTRIBUTES.iter().copied().chain([BODY_NAME]);
            let message = format!("a notification has no attribute {head}{}", did_you_mean(&head, known));
            return Err(cursor.error_at(span, message));
        }
        if inner {
            return Err(cursor.error_at(span, format!("{head} is a string: only $body has properties")));
        }
        Ok(Path { root: ATTRIBUTE, segments: vec![Segment::Name(head)] })
    }

    fn style(&self) -> Style {
        Style::Twins
    }
}
