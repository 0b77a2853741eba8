//! Literal values of properties: strings, names, booleans, integers and strings per language, in each of the
//! forms that JSON-LD allows (plain, in an array of one, as a value object).

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::error::Sink;
use crate::schema::is_duration;

/// Which datatype a value object may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datatype {
    String,
    Boolean,
    Integer,
    /// An Enum's value: a string or an integer.
    StringOrInteger,
    /// Any number.
    Number,
    /// An ISO 8601 duration.
    Duration,
}

impl Datatype {
    fn describe(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Boolean => "true or false",
            Self::Integer => "an integer",
            Self::StringOrInteger => "a string or an integer",
            Self::Number => "a number",
            Self::Duration => "a duration such as 'PT15S'",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => is_i32(value),
            Self::StringOrInteger => value.is_string() || is_i32(value),
            Self::Number => value.is_number(),
            Self::Duration => value.as_str().is_some_and(is_duration),
        }
    }

    fn allows_iri(self, iri: &str) -> bool {
        let name = iri.strip_prefix("xsd:").or_else(|| iri.strip_prefix("http://www.w3.org/2001/XMLSchema#"));
        match self {
            Self::String => name == Some("string"),
            Self::Boolean => name == Some("boolean"),
            Self::Integer => name == Some("integer"),
            Self::StringOrInteger => matches!(name, Some("string" | "integer")),
            Self::Number => matches!(name, Some("decimal" | "double" | "integer")),
            Self::Duration => name == Some("duration"),
        }
    }
}

fn is_i32(value: &Value) -> bool {
    value.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
}

/// The one literal of a property; nothing for an empty array, or where a diagnostic was reported.
pub(crate) fn scalar<'v>(
    value: &'v Value,
    datatype: Datatype,
    version: u8,
    path: &str,
    sink: &mut Sink,
) -> Option<&'v Value> {
    match value {
        Value::Array(items) => match items.as_slice() {
            [] => None,
            [single] if !single.is_array() => scalar(single, datatype, version, &format!("{path}[0]"), sink),
            _ => {
                sink.report(path, format!("has {} values; give {}", items.len(), datatype.describe()));
                None
            }
        },
        Value::Object(members) => value_object(members, datatype, version, path, sink),
        plain if datatype.fits(plain) => Some(plain),
        other => {
            sink.report(path, format!("is {}; give {}", describe(other), datatype.describe()));
            None
        }
    }
}

fn value_object<'v>(
    members: &'v Map<String, Value>,
    datatype: Datatype,
    version: u8,
    path: &str,
    sink: &mut Sink,
) -> Option<&'v Value> {
    keywords_only(members, "@type", version, path, sink)?;
    let Some(value) = members.get("@value") else {
        sink.report(path, format!("an object here needs '@value'; or give {} alone", datatype.describe()));
        return None;
    };
    let iri = match members.get("@type") {
        Some(Value::Array(items)) if items.len() == 1 => items.first(),
        other => other,
    };
    if iri.is_some_and(|iri| !iri.as_str().is_some_and(|iri| datatype.allows_iri(iri))) {
        sink.report(
            format!("{path}.@type"),
            format!("must be the XML Schema type of {}", datatype.describe()),
        );
        return None;
    }
    if !datatype.fits(value) {
        sink.report(
            format!("{path}.@value"),
            format!("is {}; give {}", describe(value), datatype.describe()),
        );
        return None;
    }
    Some(value)
}

/// A value object has `@value` and one other keyword; in DTDL v2, any keyword but those that make it an element.
fn keywords_only(
    members: &Map<String, Value>,
    other: &str,
    version: u8,
    path: &str,
    sink: &mut Sink,
) -> Option<()> {
    let is_allowed = |key: &str| match version {
        2 => key.starts_with('@') && !matches!(key, "@id" | "@context" | "@graph"),
        _ => key == "@value" || key == other,
    };
    let excess = members.keys().find(|key| !is_allowed(key));
    if let Some(key) = excess {
        let key: String = key.chars().take(80).collect();
        let message = format!("'{key}' is not allowed in a value object here; it has '@value' and '{other}'");
        sink.report(path, message);
    }
    excess.is_none().then_some(())
}

/// Strings by language tag. The tag is `en` where none is given.
pub(crate) fn localized(
    value: &Value,
    max: usize,
    version: u8,
    path: &str,
    sink: &mut Sink,
) -> Option<IndexMap<String, String>> {
    let mut texts = IndexMap::new();
    match value {
        Value::String(text) => add(&mut texts, "en", text, max, path, sink)?,
        Value::Object(members) => {
            for (tag, text) in members {
                let at = format!("{path}.{tag}");
                let Value::String(text) = text else {
                    sink.report(at, format!("is {}; give a string", describe(text)));
                    return None;
                };
                add(&mut texts, tag, text, max, &at, sink)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = format!("{path}[{index}]");
                let (tag, text) = tagged(item, version, &at, sink)?;
                add(&mut texts, tag, text, max, &at, sink)?;
            }
        }
        other => {
            sink.report(
                path,
                format!("is {}; give a string, or an object of strings by language tag", describe(other)),
            );
            return None;
        }
    }
    Some(texts)
}

fn tagged<'v>(item: &'v Value, version: u8, path: &str, sink: &mut Sink) -> Option<(&'v str, &'v str)> {
    let members = match item {
        Value::String(text) => return Some(("en", text)),
        Value::Object(members) => members,
        other => {
            sink.report(
                path,
                format!("is {}; give a string or an object with '@value' and '@language'", describe(other)),
            );
            return None;
        }
    };
    keywords_only(members, "@language", version, path, sink)?;
    let Some(Value::String(text)) = members.get("@value") else {
        sink.report(path, "needs '@value' with a string");
        return None;
    };
    match members.get("@language") {
        None => Some(("en", text)),
        Some(Value::String(tag)) => Some((tag, text)),
        Some(other) => {
            sink.report(
                format!("{path}.@language"),
                format!("is {}; give a language tag such as 'en'", describe(other)),
            );
            None
        }
    }
}

fn add(
    texts: &mut IndexMap<String, String>,
    tag: &str,
    text: &str,
    max: usize,
    path: &str,
    sink: &mut Sink,
) -> Option<()> {
    if !is_language_tag(tag) {
        sink.report(path, format!("'{tag}' is no language tag; use one such as 'en', 'zh-Hant' or 'fr-CA'"));
        return None;
    }
    within(text, max, path, sink)?;
    if texts.insert(tag.to_owned(), text.to_owned()).is_some() {
        sink.report(path, format!("language '{tag}' is given twice; give one text per language"));
        return None;
    }
    Some(())
}

/// `ll`, `ll-Ssss`, `ll-RR`, `ll-999` and `ll-Ssss-RR`, with two to four letters of language.
fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    let is_script = |p: &str| p.len() == 4 && p.bytes().all(|b| b.is_ascii_alphabetic());
    let is_region = |p: &str| {
        (p.len() == 2 && p.bytes().all(|b| b.is_ascii_alphabetic()))
            || (p.len() == 3 && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let language_fits =
        (2..=4).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic());
    language_fits
        && match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => true,
            (Some(one), None, _) => is_script(one) || is_region(one),
            (Some(script), Some(region), None) => is_script(script) && is_region(region),
            _ => false,
        }
}

/// Checks a length in characters.
pub(crate) fn within(text: &str, max: usize, path: &str, sink: &mut Sink) -> Option<()> {
    // Bytes bound characters from above, so most texts need no count.
    if text.len() <= max {
        return Some(());
    }
    let chars = text.chars().count();
    if chars > max {
        sink.report(path, format!("has {chars} characters; the limit is {max}"));
        return None;
    }
    Some(())
}

/// Checks a programming name: letters, digits and underscores, first a letter, last not an underscore.
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(|b| *b != b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// One literal label of an MQTT topic: printable ASCII without space, `"`, `+`, `#`, `{`, `}` and `/`.
/// Source: `DTDL.mqtt.v3.md`, "Topic Pattern".
pub(crate) fn is_topic_label(text: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'+' | b'#' | b'{' | b'}' | b'/');
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// An MQTT topic with tokens: labels and `{token}` or `{prefix:token}`, separated by `/`; the first label does not
/// start with `$`.
pub(crate) fn is_topic_pattern(text: &str) -> bool {
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphabetic());
    let is_token = |label: &str| {
        label.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|token| {
            token
                .split_once(':')
                .map_or_else(|| letters(token), |(prefix, token)| letters(prefix) && letters(token))
        })
    };
    !text.starts_with('$') && text.split('/').all(|label| is_topic_label(label) || is_token(label))
}

/// What a JSON value is, for messages.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > 60 => "a long string".into(),
        Value::String(text) => format!("the string '{text}'"),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}
