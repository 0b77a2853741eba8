//! Configurations shown, with what their metrics come to now.

use pollux_model::Result;
use pollux_model::configuration::Configuration;
use pollux_model::resource::Resource;

use super::super::{Hub, Operation};
use super::{Measured, may};
use crate::caller::{Caller, HubAction};

impl Hub {
    /// One configuration.
    ///
    /// # Errors
    /// [`ConfigurationNotFound`](pollux_model::ErrorCode::ConfigurationNotFound).
    pub async fn configuration(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
    ) -> Result<(Configuration, Measured)> {
        may(HubAction::ConfigurationsRead, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        let found = self.existing_configuration(hub, id).await?;
        let measured = self.measure(hub, std::slice::from_ref(&found)).await?.pop().unwrap_or_default();
        Ok((found, measured))
    }

    /// At most `top` of them, by id.
    pub async fn configurations(
        &self,
        caller: &Caller,
        hub: &Resource,
        top: usize,
    ) -> Result<Vec<(Configuration, Measured)>> {
        may(HubAction::ConfigurationsRead, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        let mut all = self.all_configurations(hub).await?;
        all.retain(|one| !one.deleted);
        all.truncate(top);
        let measured = self.measure(hub, &all).await?;
        Ok(all.into_iter().zip(measured).collect())
    }
}
