//! Conditions and settings, ready to be tried.

use std::cmp::Reverse;

use pollux_model::configuration::Configuration;
use pollux_model::device::Device;
use pollux_model::{Error, ErrorCode, Result};
use pollux_query::Segment;
use pollux_query::devices::{Collection, Query};
use serde_json::{Map, Value, json};

use super::super::device_twin::side;

/// What paths of a configuration's content begin with.
pub(super) const DESIRED: &str = "properties.desired";

/// The configurations of a hub, those that win first.
#[derive(Debug, Default)]
pub(super) struct Set {
    all: Vec<Compiled>,
}

/// A configuration.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) id: String,
    pub(super) target: Target,
    pub(super) settings: Vec<Setting>,
}

/// Whom a configuration is for.
#[derive(Debug)]
pub(super) enum Target {
    /// Nobody.
    Nobody,
    /// All devices.
    Devices,
    /// The devices or modules that match; the query is `SELECT *` of them.
    Matching(Box<Query>),
}

/// A part of what a configuration sets.
#[derive(Debug, PartialEq)]
pub(super) struct Setting {
    /// Below `properties.desired`, names joined by `.`; empty: that itself.
    pub(super) path: String,
    /// The single values in it; an empty object and an array are such a value.
    pub(super) leaves: Vec<(String, Value)>,
}

impl Set {
    /// Of records; those that are deleted are none.
    pub(super) fn of(records: &[Configuration]) -> Self {
        let mut live: Vec<_> = records.iter().filter(|record| !record.deleted).collect();
        live.sort_by_key(|record| (Reverse(record.priority), Reverse(record.created), record.id.as_str()));
        Self { all: live.into_iter().filter_map(Compiled::of).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Those that match, the first wins.
    pub(super) fn matching(&self, device: &Device) -> Vec<&Compiled> {
        if self.is_empty() {
            return Vec::new();
        }
        let document = document(device);
        self.all.iter().filter(|one| one.target.matches(device, &document)).collect()
    }
}

impl Compiled {
    fn of(record: &Configuration) -> Option<Self> {
        let (target, content) = (target(&record.target_condition), &record.content);
        if content.device.is_empty() && !content.modules.is_empty() {
            // An edge deployment: nothing of it is for the device's own twin.
            return None;
        }
        let of_modules = !content.module.is_empty();
        let settings = settings(if of_modules { &content.module } else { &content.device });
        match (target, settings) {
            (Ok(target), Ok(settings)) => Some(Self { id: record.id.clone(), target, settings }),
            // They were checked; a later version may see that otherwise.
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(configuration = %record.id, %error, "the configuration is not used");
                None
            }
        }
    }
}

impl Target {
    /// Whether a twin is meant; `document` as [`document`] makes it.
    pub(super) fn matches(&self, device: &Device, document: &Value) -> bool {
        match self {
            Self::Nobody => false,
            Self::Devices => device.module.is_none(),
            Self::Matching(query) => {
                let of_modules = query.collection() == Collection::Modules;
                of_modules == device.module.is_some() && query.matches(document)
            }
        }
    }

    /// Whether it is for modules.
    pub(super) fn of_modules(&self) -> bool {
        matches!(self, Self::Matching(query) if query.collection() == Collection::Modules)
    }
}

/// What conditions may look at: what changes with the twin alone, so that whoever changes it knows what follows.
pub(super) fn document(device: &Device) -> Value {
    let twin = &device.twin;
    let properties = json!({"reported": side(&twin.reported)});
    let mut document = json!({"deviceId": device.id, "tags": twin.tags, "properties": properties});
    if let Some(module) = &device.module {
        document["moduleId"] = json!(module);
    }
    document
}

/// Reads a target condition.
///
/// # Errors
/// [`ErrorCode::ConfigurationTargetInvalid`].
pub(super) fn target(condition: &str) -> Result<Target> {
    let invalid = |message: String| Error::new(ErrorCode::ConfigurationTargetInvalid, message);
    let condition = condition.trim();
    match condition {
        "" => return Ok(Target::Nobody),
        "*" => return Ok(Target::Devices),
        _ => {}
    }
    let whole = condition.get(..5).is_some_and(|word| word.trim_end().eq_ignore_ascii_case("from"));
    let text = match whole {
        true => format!("SELECT * {condition}"),
        false => format!("SELECT * FROM devices WHERE {condition}"),
    };
    let query = pollux_query::devices::parse(&text)
        .map_err(|error| invalid(format!("the target condition does not hold: {error}")))?;
    let Some(filter) = query.filter() else {
        return Err(invalid("the target condition names no condition behind WHERE".to_owned()));
    };
    for path in filter.paths() {
        let names: Vec<_> = path.segments.iter().map(|segment| segment.name().unwrap_or_default()).collect();
        let known = matches!(
            names.as_slice(),
            ["deviceId" | "moduleId"] | ["tags", ..] | ["properties", "reported", ..]
        );
        if !known {
            let written = path.segments.iter().filter_map(Segment::name).collect::<Vec<_>>().join(".");
            return Err(invalid(format!(
                "the target condition asks for {written}: it may ask for tags, properties.reported, deviceId and moduleId"
            )));
        }
    }
    Ok(Target::Matching(Box::new(query)))
}

/// Reads what a configuration sets.
///
/// # Errors
/// [`ErrorCode::ConfigurationContentInvalid`].
pub(super) fn settings(content: &Map<String, Value>) -> Result<Vec<Setting>> {
    let invalid = |message: String| Error::new(ErrorCode::ConfigurationContentInvalid, message);
    let mut settings = Vec::with_capacity(content.len());
    for (path, value) in content {
        let shown = pollux_model::ids::shown(path);
        let below = match path.strip_prefix(DESIRED) {
            Some("") => "",
            Some(below) => below
                .strip_prefix('.')
                .filter(|below| !below.is_empty())
                .ok_or_else(|| invalid(format!("'{shown}' is no path to desired properties")))?,
            None => return Err(invalid(format!("the path '{shown}' must begin with {DESIRED}"))),
        };
        if below.is_empty() && !value.is_object() {
            return Err(invalid(format!("{DESIRED} can only be set to an object")));
        }
        let mut leaves = Vec::new();
        flatten(below, value, &mut leaves);
        settings.push(Setting { path: below.to_owned(), leaves });
    }
    Ok(settings)
}

fn flatten(path: &str, value: &Value, leaves: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(inner) if !inner.is_empty() || path.is_empty() => {
            for (name, value) in inner {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, leaves);
            }
        }
        value => leaves.push((path.to_owned(), value.clone())),
    }
}
