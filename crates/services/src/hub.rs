//! The hub: identities, device twins, telemetry, routing, live connections.
//!
//! ```text
//!   device ──telemetry──▶ routing ──▶ event log (durable) ──▶ acknowledgement
//!   service ──change────▶ one commit: device + the events that tell of it (outbox) ──▶ live connection told
//! ```
//!
//! A module of a device is what a device is, under a [`DeviceAddress`] of two ids: it has a connection, keys and a twin
//! of its own. What acts for either of them takes the address.

mod activity;
mod authenticate;
pub mod cloud_to_device;
mod configurations;
mod connection_state;
mod connections;
mod create_device;
mod create_module;
mod delete_device;
mod delete_module;
mod device_twin;
mod digital_twins;
mod edge_device;
mod fault_injection;
pub mod files;
pub mod get_device;
mod get_module;
pub mod hub_event;
mod import_device;
mod invoke_method;
mod jobs;
mod json_text;
mod patch_twin;
mod plan_twin;
mod presence;
mod query;
mod register_device;
mod registry_jobs;
mod report;
pub(crate) mod routing;
pub mod telemetry;
mod test_routes;
mod throttle;
mod twin_merge;
mod twin_rules;
mod update_device;
mod update_module;
mod without_certificates;

use std::sync::Arc;

use pollux_model::device::Device;
use pollux_model::resource::Resource;
use pollux_model::{DeviceAddress, DeviceId, Error, ErrorCode, Result, ids};
use pollux_store::{Batch, CommitError};

pub use configurations::{ConfigurationCondition, ConfigurationInput, Measured, TestedQueries};
pub use connections::{Connection, Connections, DeviceCommand, DeviceLink, Entering, OpenMethods};
pub use create_device::{AuthenticationInput, DeviceInput};
pub use create_module::ModuleInput;
pub use device_twin::{Show, properties_for_device, twin_document};
pub use digital_twins::digital_twin_id;
pub use edge_device::{Scopes, place};
pub use files::{UploadEnd, UploadPlace};
pub use hub_event::{HubEvent, System};
pub use import_device::{ImportMode, Imported};
pub use invoke_method::{MethodAnswer, MethodCall, MethodFailure, MethodInput};
pub use jobs::{JobFilter, JobInput, JobWorkInput};
pub(crate) use json_text::json_text;
pub use patch_twin::{DesiredChange, Removed, TwinInput};
pub use presence::{Presence, Presences};
pub use query::DeviceRow;
pub use register_device::RegisterDevice;
pub use registry_jobs::{IdentityLines, ImportLine, LineParts, RegistryJobInput};
pub use test_routes::{TestMessage, Tested};
pub use throttle::{Operation, QuotaMetrics};

use crate::blobs::{Blobs, Reach};
use crate::context::Context;
use crate::destination::PerResource;

/// The hubs of a deployment.
#[derive(Debug)]
pub struct Hub {
    context: Arc<Context>,
    /// Routes of each hub, parsed.
    routes: PerResource<routing::Compiled>,
    /// Live connections of devices.
    pub connections: Arc<Connections>,
    /// This process among those of its data folder; where there are other nodes each has its name.
    incarnation: String,
    /// Devices that asked for faults.
    faults: Arc<fault_injection::Faults>,
    /// What was done lately, where a tier bounds it.
    throttles: throttle::Throttles,
    /// Told of feedback that arrived, of whatever hub.
    feedback: tokio::sync::watch::Sender<u64>,
    /// Of devices' uploads.
    files: files::Files,
    /// Of imports and exports of identities.
    registry_jobs: registry_jobs::RegistryJobs,
    /// Changes of desired properties and their notifications leave in one order per device.
    desired_order: [tokio::sync::Mutex<()>; 64],
    /// The configurations of each hub, compiled.
    configurations: configurations::Configurations,
    /// Scheduled jobs.
    jobs: jobs::Jobs,
}

impl Hub {
    /// Makes the service, without a folder for files.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Arc<Self> {
        let blobs = Arc::new(Blobs::new(Arc::clone(&context), Reach::default(), None));
        Self::with(context, blobs)
    }

    /// The same, over what reads and writes files.
    #[must_use]
    pub fn with(context: Arc<Context>, blobs: Arc<Blobs>) -> Arc<Self> {
        let desired_order = std::array::from_fn(|_| tokio::sync::Mutex::new(()));
        let (routes, connections) =
            (PerResource::default(), Arc::new(Connections::new(Arc::clone(&context))));
        let feedback = tokio::sync::watch::Sender::new(0);
        let (faults, configurations) = (Arc::default(), configurations::Configurations::default());
        let incarnation = context.random.uuid().to_string();
        let files = files::Files::new(blobs);
        Arc::new(Self {
            context,
            routes,
            connections,
            incarnation,
            faults,
            throttles: throttle::Throttles::default(),
            feedback,
            files,
            registry_jobs: registry_jobs::RegistryJobs::default(),
            desired_order,
            configurations,
            jobs: jobs::Jobs::default(),
        })
    }

    /// Commits a change of a device or module. Where the answer was lost the change may be there all the same: whoever has the
    /// device's connection is made to look, for nobody will tell it.
    async fn commit(
        &self,
        hub: &Resource,
        id: &DeviceAddress,
        batch: Batch,
    ) -> std::result::Result<(), CommitError> {
        let committed = self.context.store.commit(batch).await;
        if let Err(CommitError::Store(_)) = &committed {
            self.connections.look_later(&hub.name, id);
        }
        committed
    }

    /// A device that must be there.
    async fn existing(&self, hub: &Resource, id: &DeviceId) -> Result<Device> {
        self.context.store.device(&hub.name, id).await?.ok_or_else(|| no_device(id))
    }

    /// A device or module that must be there.
    ///
    /// # Errors
    /// [`ErrorCode::ModuleNotFound`] where it is the module that is not, [`ErrorCode::DeviceNotFound`].
    async fn addressed(&self, hub: &Resource, id: &DeviceAddress) -> Result<Device> {
        let Some(module) = &id.module else { return self.existing(hub, &id.device).await };
        if let Some(found) = self.context.store.module(&hub.name, &id.device, module).await? {
            return Ok(found);
        }
        self.existing(hub, &id.device).await?;
        let message = format!("there is no module '{}' on the device '{}'", ids::shown(module), id.device);
        Err(Error::new(ErrorCode::ModuleNotFound, message))
    }

    /// Ends the connections of devices and modules.
    async fn cut_off(&self, hub: &Resource, ids: &[DeviceAddress], reason: &'static str) {
        for id in ids {
            self.connections.deliver(&hub.name, id, DeviceCommand::Close { reason: reason.into() }).await;
        }
    }
}

fn no_device(id: &str) -> Error {
    Error::new(ErrorCode::DeviceNotFound, format!("there is no device '{}'", ids::shown(id)))
}
