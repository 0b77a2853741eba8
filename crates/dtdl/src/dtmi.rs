//! Digital twin model identifiers: `dtmi:<segment>(:<segment>)*[;<major>[.<minor>]][#<fragment>]`.
//! Which identifiers a model may use is stricter than the syntax; that rule is [`Dtmi::parse_user`].

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest identifier read at all, in bytes; DTDL's own bounds (128 for an Interface, 2048 otherwise) are lower.
const MAX_BYTES: usize = 4096;

/// A digital twin model identifier. Comparison is case-sensitive, by text; cloning is cheap (shared text).
///
/// Shape: scheme `dtmi`, one or more segments of ASCII letters, digits and `_` (not starting with a digit, not
/// ending with `_`), an optional version `;1` to `;999999999` with an optional minor part `.1` to `.999999`, and
/// an optional fragment of the same form as a segment. Source: DTDL v2 and v3, "Digital Twin Model Identifier".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dtmi(Arc<str>);

/// Why a text is no DTMI. The message names what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DtmiError {
    /// The text does not start with `dtmi:`.
    #[error("'{0}' does not start with 'dtmi:'; an identifier looks like 'dtmi:com:example:Thermostat;1'")]
    Scheme(String),
    /// A path segment is empty, starts with a digit, ends with an underscore or has another character.
    #[error(
        "segment '{segment}' of '{id}' is not allowed; a segment has letters, digits and underscores, starts with a \
         letter and does not end with an underscore"
    )]
    Segment {
        /// The whole text.
        id: String,
        /// The segment at fault.
        segment: String,
    },
    /// The part after `;` is no version.
    #[error(
        "version '{version}' of '{id}' is not allowed; a version is 1 to 999999999 without leading zeros"
    )]
    Version {
        /// The whole text.
        id: String,
        /// The text after `;`.
        version: String,
    },
    /// The identifier is well formed, but a model may not define or name it.
    #[error("'{id}' cannot be used in a model: {reason}")]
    Reserved {
        /// The whole text.
        id: String,
        /// What rule it breaks.
        reason: &'static str,
    },
    /// The text is longer than any identifier may be.
    #[error("an identifier has at most {MAX_BYTES} characters, this one has {0}")]
    TooLong(usize),
}

impl Dtmi {
    /// Parses the general syntax: version, minor version and fragment are optional, reserved segments allowed.
    ///
    /// # Errors
    /// The first rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, DtmiError> {
        if text.len() > MAX_BYTES {
            return Err(DtmiError::TooLong(text.len()));
        }
        let rest = text.strip_prefix("dtmi:").ok_or_else(|| DtmiError::Scheme(clip(text)))?;
        let (rest, fragment) = rest.split_once('#').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let (path, version) = rest.split_once(';').map_or((rest, None), |(head, tail)| (head, Some(tail)));
        let bad = path.split(':').chain(fragment.filter(|f| !f.is_empty())).find(|s| !is_segment(s));
        if let Some(segment) = bad {
            return Err(DtmiError::Segment { id: clip(text), segment: clip(segment) });
        }
        match version {
            Some(version) if !is_version(version) => {
                Err(DtmiError::Version { id: clip(text), version: clip(version) })
            }
            _ => Ok(Self(text.into())),
        }
    }

    /// Parses an identifier as a model of a DTDL version may define or refer to it: there is no fragment, no segment
    /// starts with `_`, and the prefixes of the language are not used. In DTDL v2 a version is required and has one
    /// part; later versions allow none, and two parts. Source: "Digital Twin Model Identifier" in each.
    ///
    /// # Errors
    /// The first rule the text breaks.
    pub fn parse_user(text: &str, version: u8) -> Result<Self, DtmiError> {
        let id = Self::parse(text)?;
        let reason = if version == 2 && id.major_version() == 0 {
            "it needs a version, such as ';1'"
        } else if version == 2 && id.minor_version() != 0 {
            "DTDL v2 has versions of one number, such as ';1'"
        } else if id.0.contains('#') {
            "a model has no fragments in identifiers"
        } else if id.is_reserved() {
            "segments that start with '_' belong to the system"
        } else if text.starts_with("dtmi:dtdl:") || text.starts_with("dtmi:standard:") {
            "the prefixes 'dtmi:dtdl:' and 'dtmi:standard:' belong to the language"
        } else {
            return Ok(id);
        };
        Err(DtmiError::Reserved { id: clip(text), reason })
    }

    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without version (a fragment stays): `dtmi:foo:bar;1#f` gives `dtmi:foo:bar#f`.
    #[must_use]
    pub fn versionless(&self) -> Cow<'_, str> {
        let (head, fragment) = self.split_fragment();
        let path = head.split(';').next().unwrap_or(head);
        if fragment.is_empty() { Cow::Borrowed(path) } else { Cow::Owned(format!("{path}{fragment}")) }
    }

    /// The number before the dot of the version; 0 where there is no version.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.version().0
    }

    /// The number after the dot of the version; 0 where there is none.
    #[must_use]
    pub fn minor_version(&self) -> u32 {
        self.version().1
    }

    /// Major and minor version, in the order in which versions compare.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let text = self.split_fragment().0.split_once(';').map_or("", |(_, version)| version);
        let (major, minor) = text.split_once('.').unwrap_or((text, ""));
        (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
    }

    /// The path's segments, without scheme, version and fragment.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        let head = self.split_fragment().0;
        let path = head.split(';').next().unwrap_or(head);
        path.split(':').skip(1)
    }

    /// The fragment with its `#`; empty where there is none.
    #[must_use]
    pub fn fragment(&self) -> &str {
        self.split_fragment().1
    }

    /// Whether a segment or the fragment starts with `_`: such identifiers are made by processors, not by users.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.labels().any(|label| label.starts_with('_')) || self.fragment().starts_with("#_")
    }

    fn split_fragment(&self) -> (&str, &str) {
        self.0.find('#').map_or((&*self.0, ""), |at| self.0.split_at(at))
    }
}

fn is_segment(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| !b.is_ascii_digit())
        && bytes.last().is_some_and(|b| *b != b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn is_version(text: &str) -> bool {
    let number = |t: &str, digits: usize| {
        !t.is_empty() && t.len() <= digits && !t.starts_with('0') && t.bytes().all(|b| b.is_ascii_digit())
    };
    text.split_once('.')
        .map_or_else(|| number(text, 9), |(major, minor)| number(major, 9) && number(minor, 6))
}

/// Shortens hostile text for a message.
fn clip(text: &str) -> String {
    text.chars().take(160).collect()
}

impl fmt::Display for Dtmi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Dtmi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for Dtmi {
    type Err = DtmiError;
    fn from_str(text: &str) -> Result<Self, DtmiError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Dtmi {
    type Error = DtmiError;
    fn try_from(text: String) -> Result<Self, DtmiError> {
        Self::parse(&text)
    }
}

impl From<Dtmi> for String {
    fn from(id: Dtmi) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl AsRef<str> for Dtmi {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Dtmi {
    fn borrow(&self) -> &str {
        &self.0
    }
}
