//! A target condition and metrics tried before they are saved.

use std::collections::BTreeMap;

use pollux_model::Result;
use pollux_model::resource::Resource;

use super::super::{Hub, Operation};
use super::compile::target;
use super::input::check_metric;
use super::may;
use crate::caller::{Caller, HubAction};

/// What is wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestedQueries {
    /// With the target condition; empty: nothing.
    pub target: String,
    /// With metrics, by name; those that hold are left out.
    pub metrics: BTreeMap<String, String>,
}

impl Hub {
    /// Tries a target condition and queries of metrics. What is wrong with them is no error of the call.
    pub fn test_configuration(
        &self,
        caller: &Caller,
        hub: &Resource,
        condition: Option<&str>,
        metrics: &BTreeMap<String, String>,
    ) -> Result<TestedQueries> {
        may(HubAction::ConfigurationsTest, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        let wrong = |(name, query): (&String, &String)| {
            check_metric(name, query).err().map(|error| (name.clone(), error.message))
        };
        let tested = target(condition.unwrap_or_default());
        Ok(TestedQueries {
            target: tested.err().map(|error| error.message).unwrap_or_default(),
            metrics: metrics.iter().filter_map(wrong).collect(),
        })
    }
}
