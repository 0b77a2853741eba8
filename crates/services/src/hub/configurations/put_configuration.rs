//! A configuration made or changed. What it sets never changes (Azure article "Understand and resolve Azure IoT Hub errors",
//! `CannotModifyImmutableConfigurationContent`).

use pollux_model::configuration::Configuration;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, Result, ids};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::super::throttle::sku;
use super::super::{Hub, Operation};
use super::{ConfigurationInput, may, no_configuration};
use crate::caller::{Caller, HubAction};

/// What is said of the configuration that is there (`If-Match`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigurationCondition {
    /// Nothing: there must be none.
    Absent,
    /// There must be one.
    Present,
    /// There must be one with this etag.
    Etag(Etag),
}

impl Hub {
    /// Makes or changes a configuration; twins follow it within moments.
    ///
    /// # Errors
    /// [`ErrorCode::ConfigurationExists`], [`ErrorCode::ConfigurationNotFound`], [`ErrorCode::PreconditionFailed`];
    /// [`ErrorCode::ConfigurationLimitReached`]; those of [`ConfigurationInput`].
    pub async fn put_configuration(
        &self,
        caller: &Caller,
        hub: &Resource,
        input: ConfigurationInput,
        condition: ConfigurationCondition,
    ) -> Result<Configuration> {
        may(HubAction::ConfigurationsWrite, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        input.check(&self.context.limits)?;
        // One at a time: their number is bounded, and all nodes must be told.
        let _one = self.configurations.adding.lock().await;
        let alone = self.context.cluster.alone(&format!("configurations/{}", hub.name), "put").await?;
        let put = self.put_configuration_alone(hub, input, &condition).await;
        if put.is_ok() {
            self.configurations_changed(hub).await;
        }
        alone.release().await;
        put
    }

    async fn put_configuration_alone(
        &self,
        hub: &Resource,
        input: ConfigurationInput,
        condition: &ConfigurationCondition,
    ) -> Result<Configuration> {
        loop {
            let found = self.context.store.configuration(&hub.name, &input.id).await?;
            let live = found.as_ref().filter(|found| !found.deleted);
            let next = match (live, condition) {
                (Some(_), ConfigurationCondition::Absent) => {
                    let message = format!("a configuration '{}' exists: name its etag in If-Match", input.id);
                    return Err(Error::new(ErrorCode::ConfigurationExists, message));
                }
                (None, ConfigurationCondition::Absent) => self.new_configuration(hub, &input).await?,
                (None, _) => return Err(no_configuration(&input.id)),
                (Some(before), condition) => self.changed_configuration(before, &input, condition)?,
            };
            let expect = found.map_or(Expect::Absent, |found| Expect::Etag(found.etag));
            let put = Write::PutConfiguration {
                hub: hub.name.clone(),
                configuration: Box::new(next.clone()),
                expect,
            };
            match self.context.store.commit(Batch::from(put)).await {
                Ok(()) => return Ok(next),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn new_configuration(&self, hub: &Resource, input: &ConfigurationInput) -> Result<Configuration> {
        let most = self.context.limits.of_hub(sku(hub)).configurations;
        let all = self.all_configurations(hub).await?;
        if all.iter().filter(|one| !one.deleted).count() >= most {
            let message = format!("the hub has {most} configurations, as many as it may: delete one");
            return Err(Error::new(ErrorCode::ConfigurationLimitReached, message));
        }
        let now = self.context.clock.now();
        Ok(Configuration {
            id: input.id.clone(),
            schema_version: input.schema_version.clone().unwrap_or_else(|| "1.0".to_owned()),
            labels: input.labels.clone(),
            content: input.content.clone().unwrap_or_default(),
            target_condition: input.target_condition.clone().unwrap_or_default(),
            priority: input.priority.unwrap_or_default(),
            metrics: input.metrics.clone(),
            created: now,
            last_updated: now,
            etag: self.configuration_etag(),
            pending: true,
            deleted: false,
        })
    }

    fn changed_configuration(
        &self,
        before: &Configuration,
        input: &ConfigurationInput,
        condition: &ConfigurationCondition,
    ) -> Result<Configuration> {
        if matches!(condition, ConfigurationCondition::Etag(etag) if *etag != before.etag) {
            let message = "the configuration's etag is not the one given in If-Match";
            return Err(Error::new(ErrorCode::PreconditionFailed, message));
        }
        if input.content.as_ref().is_some_and(|content| *content != before.content) {
            let message = format!(
                "what the configuration '{}' sets cannot be changed: make another one and delete this",
                ids::shown(&before.id)
            );
            return Err(Error::new(ErrorCode::ConfigurationContentImmutable, message));
        }
        let mut next = before.clone();
        next.labels.clone_from(&input.labels);
        next.metrics.clone_from(&input.metrics);
        if let Some(version) = &input.schema_version {
            next.schema_version.clone_from(version);
        }
        next.target_condition = input.target_condition.clone().unwrap_or_default();
        next.priority = input.priority.unwrap_or_default();
        next.last_updated = self.context.clock.now();
        next.etag = self.configuration_etag();
        next.pending = before.pending
            || (&next.target_condition, next.priority) != (&before.target_condition, before.priority);
        Ok(next)
    }

    /// As identities' are.
    pub(super) fn configuration_etag(&self) -> Etag {
        self.identity_etag()
    }
}
