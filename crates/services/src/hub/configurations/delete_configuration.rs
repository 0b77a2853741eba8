//! A configuration deleted: twins take on what the next one wants.

use pollux_model::configuration::Configuration;
use pollux_model::resource::Resource;
use pollux_model::{Error, ErrorCode, Etag, Result};
use pollux_store::{Batch, CommitError, Expect, Write};

use super::super::{Hub, Operation};
use super::may;
use crate::caller::{Caller, HubAction};

impl Hub {
    /// Deletes a configuration; `if_match` is the etag it must have, `None` for whatever it has. Its record stays, unseen,
    /// until no twin follows it.
    ///
    /// # Errors
    /// [`ErrorCode::ConfigurationNotFound`], [`ErrorCode::PreconditionFailed`].
    pub async fn delete_configuration(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        may(HubAction::ConfigurationsDelete, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        let alone = self.context.cluster.alone(&format!("configurations/{}", hub.name), "delete").await?;
        let deleted = self.delete_configuration_alone(hub, id, if_match).await;
        if deleted.is_ok() {
            self.configurations_changed(hub).await;
        }
        alone.release().await;
        deleted
    }

    async fn delete_configuration_alone(
        &self,
        hub: &Resource,
        id: &str,
        if_match: Option<Etag>,
    ) -> Result<()> {
        loop {
            let before = self.existing_configuration(hub, id).await?;
            if if_match.as_ref().is_some_and(|etag| *etag != before.etag) {
                let message = "the configuration's etag is not the one given in If-Match";
                return Err(Error::new(ErrorCode::PreconditionFailed, message));
            }
            let expect = Expect::Etag(before.etag.clone());
            let gone = Configuration {
                deleted: true,
                etag: self.configuration_etag(),
                last_updated: self.context.clock.now(),
                ..before
            };
            let put =
                Write::PutConfiguration { hub: hub.name.clone(), configuration: Box::new(gone), expect };
            match self.context.store.commit(Batch::from(put)).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Expectation { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
