//! `@context`: which language version and extensions are in force for an element.

use serde_json::Value;

use crate::dtmi::Dtmi;
use crate::error::Sink;
use crate::limits::Limits;
use crate::metamodel;

/// What is in force; inherited by the elements inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// The DTDL version; 0 before the first context.
    pub(crate) version: u8,
    /// The partner extension `dtmi:iotcentral:context;2`.
    pub(crate) iotcentral: bool,
    /// A context that is not known here was accepted.
    pub(crate) undefined: bool,
}

const IOTCENTRAL: &str = "dtmi:iotcentral:context;2";

impl Context {
    /// The context of a top-level document: a DTDL context must come first (IoT Central's alone may precede it);
    /// of several DTDL contexts the last counts. Nothing where a diagnostic was reported.
    pub(crate) fn top(value: Option<&Value>, path: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        let Some(value) = value else {
            sink.report(path, "'@context' is missing; add \"@context\": \"dtmi:dtdl:context;2\"");
            return None;
        };
        let path = format!("{path}.@context");
        let names = names(value, &path, sink)?;
        let mut context = Self { version: 0, iotcentral: false, undefined: false };
        for (at, name) in &names {
            let is_dtdl = dtdl_version(name).is_some();
            if context.version == 0 && !is_dtdl && name != &IOTCENTRAL {
                sink.report(
                    at,
                    format!("'{name}' stands before the DTDL context; put 'dtmi:dtdl:context;2' first"),
                );
                return None;
            }
            context = context.with(name, at, limits, sink)?;
        }
        if context.version == 0 {
            sink.report(path, "no DTDL context; the first context must be 'dtmi:dtdl:context;2'");
            return None;
        }
        if !metamodel::SUPPORTED_VERSIONS.contains(&context.version) {
            let message =
                format!("DTDL version {} is not accepted here; use 'dtmi:dtdl:context;2'", context.version);
            sink.report(path, message);
            return None;
        }
        Some(context)
    }

    /// The context of an element inside: extensions may be added, the language version may not change.
    pub(crate) fn nested(self, value: &Value, path: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        let path = format!("{path}.@context");
        let mut context = self;
        for (at, name) in &names(value, &path, sink)? {
            if dtdl_version(name).is_some_and(|version| version != self.version) {
                let message =
                    format!("'{name}' differs from the version {} of the Interface around it", self.version);
                sink.report(at, message);
                return None;
            }
            context = context.with(name, at, limits, sink)?;
        }
        Some(context)
    }

    fn with(mut self, name: &str, at: &str, limits: &Limits, sink: &mut Sink) -> Option<Self> {
        if let Some(version) = dtdl_version(name) {
            self.version = version;
        } else if name == IOTCENTRAL {
            self.iotcentral = true;
        } else if limits.undefined_extensions {
            self.undefined = true;
        } else {
            sink.report(
                at,
                format!("context '{name}' is not known; known are 'dtmi:dtdl:context;2' and '{IOTCENTRAL}'"),
            );
            return None;
        }
        Some(self)
    }
}

fn dtdl_version(name: &str) -> Option<u8> {
    name.strip_prefix("dtmi:dtdl:context;")?.parse().ok()
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
