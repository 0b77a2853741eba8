//! `@context`: which language version, limits and extensions are in force for an element.
//! Source: `DTDL.v4.md`, "Context"; `DTDL.Extensions.md`, "Limit extensions".

use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::error::Sink;
use crate::extension::{Extension, Extensions};
use crate::limits::{LanguageLimits, LimitSet, Limits};
use crate::metamodel::SUPPORTED_VERSIONS;
use crate::semantic::Edition;

/// What is in force; inherited by the elements inside.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Context {
    /// The DTDL version; 0 before the first context.
    pub(crate) version: u8,
    /// The extensions that are known here.
    pub(crate) extensions: Extensions,
    /// A context that is not known here was accepted.
    pub(crate) undefined: bool,
    /// Whose limits.
    pub(crate) limit_set: LimitSet,
}

/// What one specifier says.
enum Specifier<'n> {
    /// A version of the language with its limits.
    Language(u8),
    /// A version of the language without limits; those follow.
    Limitless(u8),
    /// The limits of a version of the language.
    LanguageLimits(u8),
    /// A limit extension.
    Limits(LimitSet),
    Extension(Extension),
    Unknown(&'n str),
}

impl<'n> Specifier<'n> {
    fn read(name: &'n str) -> Self {
        if let Some(rest) = name.strip_prefix("dtmi:dtdl:context;") {
            let (version, fragment) = rest.split_once('#').unwrap_or((rest, ""));
            return match (version.parse(), fragment) {
                (Ok(version), "") if !rest.ends_with('#') => Self::Language(version),
                (Ok(version @ 4..), "limitless") => Self::Limitless(version),
                (Ok(version @ 4..), "limits") => Self::LanguageLimits(version),
                _ => Self::Unknown(name),
            };
        }
        if let Some(set) = name.strip_suffix(";1").and_then(LimitSet::of_context) {
            return Self::Limits(set);
        }
        Extension::from_context(name).map_or(Self::Unknown(name), Self::Extension)
    }
}

impl Context {
    /// Which semantic types and units are in force.
    pub(crate) fn edition(self) -> Edition {
        self.extensions.quantitative().map_or(Edition::Language, Extension::edition)
    }

    /// The context of a top-level document: a DTDL context must come first (IoT Central's alone may precede it);
    /// of several DTDL contexts the last counts. Nothing where a diagnostic was reported.
    pub(crate) fn top(value: Option<&Value>, path: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        let best = limits.max_version;
        let Some(value) = value else {
            let message = format!("'@context' is missing; add \"@context\": \"dtmi:dtdl:context;{best}\"");
            sink.report(path, message);
            return None;
        };
        let path = format!("{path}.@context");
        let context = Self::default().extended(value, &path, limits, sink)?;
        if context.version == 0 {
            sink.report(
                path,
                format!("no DTDL context; the first context must be 'dtmi:dtdl:context;{best}'"),
            );
            return None;
        }
        if !SUPPORTED_VERSIONS.contains(&context.version) || context.version > limits.max_version {
            let known = SUPPORTED_VERSIONS.iter().filter(|version| **version <= best);
            let known: Vec<_> = known.map(|version| format!("'dtmi:dtdl:context;{version}'")).collect();
            let message =
                format!("DTDL version {} is not accepted here; use {}", context.version, known.join(" or "));
            sink.report(path, message);
            return None;
        }
        Some(context)
    }

    /// The context of an element inside: extensions may be added, and the language version may be an earlier one.
    /// Source: `DTDL.v3.md`, "Context"; the parser cases `…ElementV3`.
    pub(crate) fn nested(self, value: &Value, path: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        self.extended(value, &format!("{path}.@context"), limits, sink)
    }

    fn extended(mut self, value: &Value, path: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        let outer = self.version;
        let mut waits_for_limits = false;
        for (at, name) in &names(value, path, sink)? {
            let specifier = Specifier::read(name);
            if let Some(message) = fault(&specifier, name, self.version, waits_for_limits) {
                sink.report(at, message);
                return None;
            }
            waits_for_limits = matches!(specifier, Specifier::Limitless(_));
            self.take(&specifier, at, limits, sink)?;
            if outer != 0 && self.version > outer {
                let message = format!(
                    "'{name}' is later than DTDL version {outer} of the element around it; inside, the same version and \
                     earlier ones can be used"
                );
                sink.report(at, message);
                return None;
            }
        }
        if waits_for_limits {
            let message = "a limitless context must be followed by one with limits, such as 'dtmi:dtdl:context;4#limits'";
            sink.report(path, message);
            return None;
        }
        Some(self)
    }

    fn take(&mut self, specifier: &Specifier<'_>, at: &str, limits: &Limits, sink: &mut Sink) -> Option<()> {
        match *specifier {
            Specifier::Language(version)
            | Specifier::LanguageLimits(version)
            | Specifier::Limitless(version) => {
                self.version = version;
                self.limit_set = LimitSet::Standard;
            }
            Specifier::Limits(set) => {
                let accepted =
                    limits.limit_extensions.iter().any(|name| LimitSet::of_context(name) == Some(set));
                if !accepted {
                    sink.report(at, "this limit extension is not accepted here; use 'dtmi:dtdl:context;4' with its limits");
                    return None;
                }
                self.limit_set = set;
            }
            Specifier::Extension(extension) => self.extensions.add(extension),
            Specifier::Unknown(_) if limits.undefined_extensions.allowed(self.version) => {
                self.undefined = true
            }
            Specifier::Unknown(name) => {
                let message = format!(
                    "context '{name}' is not known; known are 'dtmi:dtdl:context;{}' and those of the published extensions",
                    limits.max_version
                );
                sink.report(at, message);
                return None;
            }
        }
        Some(())
    }

    /// What bounds an element in this context.
    pub(crate) fn limits(self, limits: &Limits) -> &LanguageLimits {
        limits.of(self.version, self.limit_set)
    }
}

/// The version of DTDL that a document says it is written in, whether or not it is accepted anywhere: that of the last DTDL
/// context in its `@context`. `None` where it names none.
#[must_use]
pub fn version_of(document: &Value) -> Option<u8> {
    let context = document.get("@context")?;
    let names = context.as_array().map_or(std::slice::from_ref(context), Vec::as_slice);
    names.iter().rev().filter_map(Value::as_str).find_map(|name| match Specifier::read(name) {
        Specifier::Language(version) | Specifier::Limitless(version) | Specifier::LanguageLimits(version) => {
            Some(version)
        }
        Specifier::Limits(_) | Specifier::Extension(_) | Specifier::Unknown(_) => None,
    })
}

/// Whether a specifier may not stand where it stands.
fn fault(specifier: &Specifier<'_>, name: &str, version: u8, waits_for_limits: bool) -> Option<String> {
    match specifier {
        Specifier::Language(_) => None,
        Specifier::LanguageLimits(_) | Specifier::Limits(_) if waits_for_limits => None,
        _ if waits_for_limits => Some(format!(
            "'{name}' stands between a limitless context and its limits; put it after the limits"
        )),
        Specifier::LanguageLimits(_) | Specifier::Limits(_) => {
            Some(format!("'{name}' must follow a limitless context, such as 'dtmi:dtdl:context;4#limitless'"))
        }
        Specifier::Limitless(_) | Specifier::Extension(Extension::IotCentralV2) => None,
        Specifier::Extension(_) | Specifier::Unknown(_) if version == 0 => {
            Some(format!("'{name}' stands before the DTDL context; put the DTDL context first"))
        }
        Specifier::Extension(_) | Specifier::Unknown(_) => None,
    }
}

/// The context specifiers with their paths: each a DTMI with a version.
fn names<'v>(value: &'v Value, path: &str, sink: &mut Sink) -> Option<Vec<(String, &'v str)>> {
    let items: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, item)| (format!("{path}[{i}]"), item)).collect()
        }
        single => vec![(path.to_owned(), single)],
    };
    let mut names = Vec::with_capacity(items.len());
    for (at, item) in items {
        let Value::String(name) = item else {
            sink.report(
                at,
                "a context is a DTMI in a string, such as 'dtmi:dtdl:context;2', or an array of them",
            );
            return None;
        };
        match Dtmi::parse(name) {
            Ok(id) if id.major_version() > 0 => names.push((at, name.as_str())),
            Ok(_) => {
                sink.report(at, format!("context '{name}' has no version; add one, such as ';2'"));
                return None;
            }
            Err(error) => {
                sink.report(at, format!("a context is a DTMI: {error}"));
                return None;
            }
        }
    }
    Some(names)
}
