//! Conditions and settings, ready to be tried.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use pollux_model::configuration::Configuration;
use pollux_model::device::Device;
use pollux_model::{Error, ErrorCode, Result};
use pollux_query::Segment;
use pollux_query::devices::{Collection, Query};
use serde_json::{Map, Value, json};

use super::super::device_twin::side;

/// What paths of a configuration's content begin with.
pub(super) const DESIRED: &str = "properties.desired";
/// The module that looks after the others.
const AGENT: &str = "$edgeAgent";

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
    /// Of an edge deployment.
    pub(super) deployment: Option<Deployment>,
}

/// What an edge deployment sets on the modules of a device (Azure article "Understand IoT Edge automatic deployments for single
/// devices or at scale"). Of those that match a device the first whole one counts, and the layers above it.
#[derive(Debug)]
pub(super) struct Deployment {
    /// It says all that the device's modules are, and is no layer.
    whole: bool,
    /// By module; each value by itself, so that a layer sets single ones.
    modules: Vec<(String, Vec<Setting>)>,
}

/// A configuration that matches a twin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matching<'c> {
    pub(super) id: &'c str,
    /// What it would set on this twin.
    pub(super) settings: &'c [Setting],
    /// Whether it may: a deployment below the one that counts may not.
    pub(super) counts: bool,
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

    /// Those that match a twin, the first wins. `of`: the device of a module to which [something is
    /// deployed](Self::deploys_to).
    pub(super) fn matching(&self, twin: &Device, of: Option<&Device>) -> Vec<Matching<'_>> {
        if self.is_empty() {
            return Vec::new();
        }
        let document = document(twin);
        let deployed: Vec<(&str, bool)> = match (&twin.module, of) {
            (None, _) => self.deployed(twin, &document),
            (Some(_), Some(of)) => self.deployed(of, &self::document(of)),
            (Some(_), None) => Vec::new(),
        };
        let mut matching = Vec::new();
        for one in &self.all {
            let id = one.id.as_str();
            let Some(deployment) = &one.deployment else {
                if one.target.matches(twin, &document) {
                    matching.push(Matching { id, settings: &one.settings, counts: true });
                }
                continue;
            };
            let Some((_, counts)) = deployed.iter().find(|(deployed, _)| *deployed == id) else { continue };
            match &twin.module {
                // What it sets on the device itself counts whether it is the deployment that does or not.
                None if !one.settings.is_empty() => {
                    matching.push(Matching { id, settings: &one.settings, counts: true });
                }
                None => matching.push(Matching { id, settings: &[], counts: *counts }),
                Some(module) => {
                    let settings = deployment.modules.iter().find(|(name, _)| **name == **module);
                    if let Some((_, settings)) = settings.filter(|_| *counts) {
                        matching.push(Matching { id, settings, counts: true });
                    }
                }
            }
        }
        matching
    }

    /// The deployments that match a device, and which of them count.
    fn deployed(&self, device: &Device, document: &Value) -> Vec<(&str, bool)> {
        if !device.identity.iot_edge {
            return Vec::new();
        }
        let matching = |one: &&Compiled| one.deployment.is_some() && one.target.matches(device, document);
        let matching: Vec<&Compiled> = self.all.iter().filter(matching).collect();
        let whole = |one: &&Compiled| one.deployment.as_ref().is_some_and(|deployment| deployment.whole);
        let first = matching.iter().position(whole);
        let counts = |at: usize| first.is_some_and(|first| at <= first);
        matching.iter().enumerate().map(|(at, one)| (one.id.as_str(), counts(at))).collect()
    }

    /// Whether some deployment sets something on modules of that id.
    pub(super) fn deploys_to(&self, module: &str) -> bool {
        let mut deployments = self.all.iter().filter_map(|one| one.deployment.as_ref());
        deployments.any(|deployment| deployment.modules.iter().any(|(name, _)| name == module))
    }

    /// The modules that a device is to have.
    pub(super) fn modules_of(&self, device: &Device) -> BTreeSet<&str> {
        let counting = self.deployed(device, &document(device)).into_iter().filter(|(_, counts)| *counts);
        let ids: BTreeSet<&str> = counting.map(|(id, _)| id).collect();
        let deployments = self.all.iter().filter(|one| ids.contains(one.id.as_str()));
        let modules = deployments.filter_map(|one| one.deployment.as_ref()).flat_map(|one| &one.modules);
        modules.map(|(name, _)| name.as_str()).collect()
    }
}

impl Compiled {
    fn of(record: &Configuration) -> Option<Self> {
        let (target, content) = (target(&record.target_condition), &record.content);
        let of_modules = !content.module.is_empty();
        let settings = settings(if of_modules { &content.module } else { &content.device });
        let deployment = match content.modules.is_empty() {
            true => Ok(None),
            false => Deployment::of(&content.modules).map(Some),
        };
        match (target, settings, deployment) {
            (Ok(target), Ok(settings), Ok(deployment)) => {
                Some(Self { id: record.id.clone(), target, settings, deployment })
            }
            // They were checked; a later version may see that otherwise.
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                tracing::warn!(configuration = %record.id, %error, "the configuration is not used");
                None
            }
        }
    }
}

impl Deployment {
    fn of(content: &Map<String, Value>) -> Result<Self> {
        let mut modules = Vec::with_capacity(content.len());
        for (module, paths) in content {
            let Some(paths) = paths.as_object() else { continue };
            let leaves = settings(paths)?.into_iter().flat_map(|setting| setting.leaves);
            let single = |leaf: (String, Value)| Setting { path: leaf.0.clone(), leaves: vec![leaf] };
            modules.push((module.clone(), leaves.map(single).collect()));
        }
        let whole = content.get(AGENT).is_some_and(|paths| paths.get(DESIRED).is_some());
        Ok(Self { whole, modules })
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
        .map_err(|error| invalid(format!("the target condition does not parse as '{text}': {error}")))?;
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
