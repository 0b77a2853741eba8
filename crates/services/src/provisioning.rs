//! The provisioning service: enrollments, attestation, allocation, registration records.
//!
//! ```text
//!   attest ──▶ Caller ──▶ register ──▶ record "assigning" (durable) ──▶ 202 to the device
//!                                           │
//!                                        operate: allocate (hashed | static | webhook) ──▶ hub, initial twin
//!                                           │
//!                                        one commit: device in its hub + its lifecycle event + record "assigned"
//! ```

mod allocate;
mod attest;
mod audit;
mod bulk;
pub mod contract;
mod delete_enrollment;
mod enrollment_input;
mod explain;
mod get_enrollment;
mod groups;
mod issue;
mod operate;
mod placed;
mod put_enrollment;
mod quotas;
mod register;
mod registrations;
mod revoke;
mod webhook;
mod whereabouts;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::resource::{Dps, Properties, Resource};
use pollux_model::{Error, RegistrationId, ResourceName, Result};
use tokio::sync::Semaphore;

/// What a change expects to find: the store's own word.
pub use pollux_store::Expect;

pub use attest::decision::{Changes, Decision, Entry, Verdict, Vouching};
pub use attest::tpm::TpmKeys;
pub use audit::{AuditAction, AuditPage, AuditQuery, AuditRecord, Decider};
pub use bulk::{BulkErrors, BulkItem, BulkMode};
pub use enrollment_input::{AttestationInput, CertificateKind, EnrollmentInput, GroupInput, IndividualInput};
pub use explain::{ExplainRequest, Explanation, MadeDevice};
pub use quotas::Stats;
pub use register::{OperationStatus, RegisterRequest};

use crate::context::Context;
use crate::functions::Functions;
use crate::hub::Hub;
use crate::resources::Resources;

/// The provisioning service of a deployment: all its instances.
#[derive(Debug)]
pub struct Provisioning {
    context: Arc<Context>,
    resources: Arc<Resources>,
    hub: Arc<Hub>,
    functions: Arc<Functions>,
    /// Registrations that a task of this node is working on.
    running: Mutex<HashMap<(ResourceName, RegistrationId), operate::Running>>,
    /// Bounds the operations, and so the webhook calls, that run side by side.
    permits: Semaphore,
    /// Refusals that the audit record has lately kept, by address.
    refusals: Mutex<audit::Bound>,
    counted: Mutex<quotas::Counted>,
    groups: groups::Groups,
}

/// Operations that run side by side.
const OPERATIONS: usize = 256;

impl Provisioning {
    /// Makes the service. `hub` is where devices are registered, `functions` answers webhooks that lead to ourselves.
    #[must_use]
    pub fn new(
        context: Arc<Context>,
        resources: Arc<Resources>,
        hub: Arc<Hub>,
        functions: Arc<Functions>,
    ) -> Arc<Self> {
        let groups = groups::Groups::new(Arc::clone(&context.store));
        Arc::new(Self {
            context,
            resources,
            hub,
            functions,
            running: Mutex::default(),
            permits: Semaphore::new(OPERATIONS),
            refusals: Mutex::default(),
            counted: Mutex::default(),
            groups,
        })
    }

    /// The properties of an instance.
    fn dps(resource: &Resource) -> Result<&Dps> {
        match &resource.properties {
            Properties::Dps(dps) => Ok(dps),
            _ => Err(Error::invalid(format!("'{}' is no provisioning service", resource.name))),
        }
    }
}
