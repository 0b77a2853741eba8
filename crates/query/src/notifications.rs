//! The filter language of event routes of digital twins: a condition over a notification's `CloudEvents` attributes (bare
//! names) and its body (`$body.path`).
//!
//! ```text
//! type = 'Microsoft.DigitalTwins.Twin.Update' AND STARTS_WITH($body.modelId, 'dtmi:example:com:floor')
//! CONTAINS(subject, 'room1') OR $body.temperature <= 5.5
//! ```
//!
//! Names are found as they are written: filters depend on letter case. What is not there is undefined, and a filter that is
//! undefined takes nothing; so `$body.prop != null` asks whether there is a `prop`. There are no fields of arrays.
//! Beyond the article: `NOT`, `IN`, `NIN`, `<>`, and the functions that ask for a type.
//!
//! Source: Azure "Create event routes and filters in Azure Digital Twins", section "Filter events".

mod names;

use serde_json::Value as Json;

use self::names::{ATTRIBUTE, BODY, Names};
use crate::{
    Limits, QueryError,
    cursor::Cursor,
    eval::{self, Scope, walk},
    expr::{Expr, Path, Segment},
    lexer::Lexicon,
    parser,
    value::Value,
};

/// What a filter can ask a notification.
pub trait Notification {
    /// An attribute, by one of the names `id`, `source`, `specversion`, `type`, `subject`, `time`, `dataschema`,
    /// `datacontenttype`, `traceparent`; or `$eventType`, the older name of the type's family.
    fn attribute(&self, name: &str) -> Option<&str>;

    /// The data.
    fn body(&self) -> Option<&Json>;
}

/// A checked filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Expr);

/// Parses and checks a filter within [`Limits::HUB`].
///
/// # Errors
/// Where the text stops being a filter, or what in it can never make sense. An empty text is none.
pub fn parse(text: &str) -> Result<Filter, QueryError> {
    let mut cursor =
        Cursor::new(text, Lexicon { noun: "filter", dashed_names: false, patterns: false }, &Limits::HUB)?;
    let condition = parser::condition(&mut cursor, &Names)?;
    cursor.expect_end("an operator or the end of the filter")?;
    Ok(Filter(condition))
}

impl Filter {
    /// Whether the notification takes the route.
    pub fn matches(&self, notification: &dyn Notification) -> bool {
        eval::holds(&self.0, &NotificationScope(notification))
    }
}

/// A notification, to the evaluator.
struct NotificationScope<'n>(&'n dyn Notification);

impl Scope for NotificationScope<'_> {
    fn lookup<'s>(&'s self, path: &'s Path) -> Value<'s> {
        match (path.root, path.segments.as_slice()) {
            (ATTRIBUTE, [Segment::Name(name)]) => {
                self.0.attribute(name).map_or(Value::Undefined, |text| Value::String(text.into()))
            }
            (BODY, segments) => self.0.body().and_then(|body| walk(body, segments, false)).into(),
            _ => Value::Undefined,
        }
    }
}
