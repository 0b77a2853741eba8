//! What a configuration would set, set once, on one device (`applyConfigurationContent`).

use pollux_model::configuration::ConfigurationContent;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Result};
use serde_json::{Map, Value};

use super::super::{Hub, ModuleInput, Operation, TwinInput};
use super::input::{check_settings, plant};
use super::may;
use crate::caller::{Caller, HubAction};

impl Hub {
    /// Sets what is for the device on its twin, and what is for modules of an edge device on theirs; modules that are not there
    /// are made. One after the other: what comes first stays where a later one is refused.
    ///
    /// # Errors
    /// [`ErrorCode::DeviceNotFound`], [`ErrorCode::ConfigurationContentInvalid`].
    pub async fn apply_configuration_content(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &str,
        content: ConfigurationContent,
    ) -> Result<()> {
        may(HubAction::ConfigurationsApply, caller, hub)?;
        self.throttle(hub, Operation::Configuration, 1)?;
        let id = DeviceId::parse(id)?;
        let invalid = |message: &str| Err(Error::new(ErrorCode::ConfigurationContentInvalid, message));
        if !content.module.is_empty() || (content.device.is_empty() && content.modules.is_empty()) {
            return invalid("there must be deviceContent or modulesContent, and nothing else");
        }
        check_settings(&content.device, &self.context.limits)?;
        let mut modules = Vec::with_capacity(content.modules.len());
        for (module, paths) in &content.modules {
            let Value::Object(paths) = paths else {
                return invalid("modulesContent has an object of paths for each module");
            };
            check_settings(paths, &self.context.limits)?;
            modules.push((DeviceAddress::of(&id, Some(module))?, paths));
        }
        let device = self.existing(hub, &id).await?;
        if !modules.is_empty() && !device.identity.iot_edge {
            return invalid("modulesContent is for edge devices, and this device is none");
        }
        if !content.device.is_empty() {
            let input = TwinInput { desired: Some(tree(&content.device)?), ..TwinInput::default() };
            self.patch_twin(caller, hub, &device.address(), input, None).await?;
        }
        for (module, paths) in modules {
            self.apply_to_module(caller, hub, &module, paths).await?;
        }
        Ok(())
    }

    async fn apply_to_module(
        &self,
        caller: &Caller,
        hub: &Resource,
        id: &DeviceAddress,
        paths: &Map<String, Value>,
    ) -> Result<()> {
        loop {
            let found = self.context.store.addressed(&hub.name, id).await?;
            let Some(found) = found else {
                let made = self.create_module(caller, hub, of_edge(id)).await;
                match made {
                    Err(error) if error.code != ErrorCode::ModuleExists => return Err(error),
                    _ => continue,
                }
            };
            let desired = tree(paths)?;
            // The whole of a module's desired properties is put in the place of what was there, as deployments are.
            let whole = paths.contains_key(super::compile::DESIRED);
            let tags = whole.then(|| found.twin.tags.clone());
            let (input, etag) = (
                TwinInput { tags, desired: Some(desired), ..TwinInput::default() },
                Some(found.twin.service_etag),
            );
            let changed = match whole {
                true => self.replace_twin(caller, hub, id, input, etag).await,
                false => self.patch_twin(caller, hub, id, input, etag).await,
            };
            match changed {
                Err(error) if error.code == ErrorCode::PreconditionFailed => {}
                changed => return changed.map(drop),
            }
        }
    }
}

fn of_edge(id: &DeviceAddress) -> ModuleInput {
    ModuleInput {
        device: id.device.to_string(),
        id: id.module.as_deref().unwrap_or_default().to_owned(),
        authentication: None,
        managed_by: Some(super::super::edge_device::MANAGED_BY.to_owned()),
    }
}

/// Paths and values as one patch of desired properties.
fn tree(content: &Map<String, Value>) -> Result<Map<String, Value>> {
    let mut tree = Map::new();
    for setting in super::compile::settings(content)? {
        for (path, value) in &setting.leaves {
            plant(&mut tree, path, value);
        }
    }
    Ok(tree)
}
