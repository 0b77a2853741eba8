//! What a configuration may be (Azure articles "Automatic device and module management using the Azure portal", "Create a
//! configuration", and "IoT Hub quotas and throttling").

use std::collections::{BTreeMap, BTreeSet};

use pollux_model::configuration::ConfigurationContent;
use pollux_model::{Error, ErrorCode, Result, ids};
use pollux_query::devices::Collection;
use serde_json::{Map, Value};

use super::super::twin_rules;
use super::compile::{Target, settings, target};
use super::overlay::overlaps;
use crate::limits::Limits;

/// Characters of a configuration's id, and of a name of a label or metric.
const NAME: usize = 128;
/// Characters of an id beside lower-case letters and digits.
const SPECIAL: &str = "-:+%_#*?!(),=@;'";

/// A configuration as a client writes it.
#[derive(Debug, Clone, Default)]
pub struct ConfigurationInput {
    /// Its id.
    pub id: String,
    /// `1.0` when absent.
    pub schema_version: Option<String>,
    /// In the operator's words.
    pub labels: BTreeMap<String, String>,
    /// What it sets; in a change: what it sets already, or absent.
    pub content: Option<ConfigurationContent>,
    /// Whom it is for; nobody when absent.
    pub target_condition: Option<String>,
    /// 0 when absent.
    pub priority: Option<i32>,
    /// The operator's own queries.
    pub metrics: BTreeMap<String, String>,
}

impl ConfigurationInput {
    /// # Errors
    /// [`ErrorCode::InvalidArgument`], [`ErrorCode::TooLarge`], [`ErrorCode::ConfigurationTargetInvalid`],
    /// [`ErrorCode::ConfigurationContentInvalid`], [`ErrorCode::ConfigurationMetricInvalid`].
    pub(super) fn check(&self, limits: &Limits) -> Result<()> {
        check_id(&self.id)?;
        if self.priority.is_some_and(|priority| priority < 0) {
            return Err(Error::invalid("priority must not be less than 0"));
        }
        let named = |what: &str, name: &str| match name.chars().count() {
            1..=NAME if !name.chars().any(char::is_control) => Ok(()),
            _ => Err(Error::invalid(format!(
                "{what} must have 1 to {NAME} characters, none of them control characters"
            ))),
        };
        if let Some(version) = &self.schema_version {
            named("schemaVersion", version)?;
        }
        for (name, value) in &self.labels {
            named("the name of a label", name)?;
            if !value.is_empty() {
                named("the value of a label", value)?;
            }
        }
        let target = target(self.target_condition.as_deref().unwrap_or_default())?;
        if let Some(content) = &self.content {
            check_content(content, &target, limits)?;
        }
        let (count, most) = (self.metrics.len(), limits.configuration_metrics);
        if count > most {
            let message = format!("there are {count} metrics; at most {most} are allowed");
            return Err(Error::new(ErrorCode::ConfigurationMetricInvalid, message));
        }
        for (name, query) in &self.metrics {
            named("the name of a metric", name)?;
            check_metric(name, query)?;
        }
        let (size, most) = (self.size(), limits.configuration);
        if size > most {
            let message = format!("the configuration is {size} bytes; at most {most} are allowed");
            return Err(Error::new(ErrorCode::TooLarge, message));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let pairs = |map: &BTreeMap<String, String>| -> usize {
            map.iter().map(|(name, value)| name.len() + value.len()).sum()
        };
        let content = self.content.as_ref().map_or(0, |content| {
            let parts = [&content.device, &content.module, &content.modules];
            parts.into_iter().flatten().map(|(path, value)| path.len() + value.to_string().len()).sum()
        });
        let condition = self.target_condition.as_ref().map_or(0, String::len);
        pairs(&self.labels) + pairs(&self.metrics) + content + condition
    }
}

fn check_id(id: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || SPECIAL.contains(c);
    if (1..=NAME).contains(&id.len()) && id.chars().all(good) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' is no configuration id: use 1 to {NAME} lower-case letters, digits and any of {SPECIAL}",
        ids::shown(id)
    )))
}

fn check_content(content: &ConfigurationContent, target: &Target, limits: &Limits) -> Result<()> {
    let invalid = |message: &str| Err(Error::new(ErrorCode::ConfigurationContentInvalid, message));
    let of_device = !content.device.is_empty() || !content.modules.is_empty();
    if !content.module.is_empty() && of_device {
        return invalid("moduleContent cannot stand beside deviceContent or modulesContent");
    }
    match target {
        Target::Devices if !content.module.is_empty() => {
            return invalid("moduleContent needs a target condition that begins with FROM devices.modules");
        }
        Target::Matching(_)
            if target.of_modules() == of_device && (of_device || !content.module.is_empty()) =>
        {
            return invalid(
                "what is set is not what the target condition ranges over: moduleContent goes with FROM devices.modules, deviceContent does not",
            );
        }
        _ => {}
    }
    check_settings(&content.device, limits)?;
    check_settings(&content.module, limits)?;
    for (module, paths) in &content.modules {
        pollux_model::ModuleId::parse(module)?;
        let Value::Object(paths) = paths else {
            return invalid("modulesContent has an object of paths for each module");
        };
        check_settings(paths, limits)?;
    }
    Ok(())
}

/// Paths and values that could be a twin's desired properties, and do not contradict each other.
pub(super) fn check_settings(content: &Map<String, Value>, limits: &Limits) -> Result<()> {
    let invalid = |message: String| Error::new(ErrorCode::ConfigurationContentInvalid, message);
    let of_content = |error: Error| Error::new(ErrorCode::ConfigurationContentInvalid, error.message);
    for value in content.values().filter_map(Value::as_object) {
        // Before names are joined: none of them has a dot of its own.
        twin_rules::check("properties.desired", value).map_err(of_content)?;
    }
    let settings = settings(content)?;
    let (mut taken, mut tree) = (BTreeSet::new(), Map::new());
    for setting in &settings {
        if overlaps(&taken, &setting.path) {
            let shown = ids::shown(&setting.path);
            return Err(invalid(format!("two paths lie in each other: properties.desired.{shown}")));
        }
        taken.insert(setting.path.as_str());
        for (path, value) in &setting.leaves {
            plant(&mut tree, path, value);
        }
    }
    twin_rules::check("properties.desired", &tree).map_err(of_content)?;
    twin_rules::check_size("properties.desired", &tree, limits.device_twin_properties).map_err(of_content)
}

/// The tree in which a value stands at its path, so that names and depth are checked as those of twins. Paths that lie in each
/// other were refused.
pub(super) fn plant(tree: &mut Map<String, Value>, path: &str, value: &Value) {
    let Some((first, rest)) = path.split_once('.') else {
        tree.insert(path.to_owned(), value.clone());
        return;
    };
    let below = tree.entry(first).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(below) = below {
        plant(below, rest, value);
    }
}

/// A query over twins.
///
/// # Errors
/// [`ErrorCode::ConfigurationMetricInvalid`].
pub(super) fn check_metric(name: &str, query: &str) -> Result<()> {
    let refused = |why: &dyn std::fmt::Display| {
        let message = format!("the query of the metric '{}' does not hold: {why}", ids::shown(name));
        Error::new(ErrorCode::ConfigurationMetricInvalid, message)
    };
    match pollux_query::devices::parse(query) {
        Ok(query) if query.collection() == Collection::Jobs => {
            Err(refused(&"it must be over devices or modules"))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(refused(&error)),
    }
}
