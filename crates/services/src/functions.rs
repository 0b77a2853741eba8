//! The function app: allocate, ingest, retire.
//!
//! The three functions of Microsoft's article "Auto-manage devices in Azure Digital Twins using Device Provisioning
//! Service", on public contracts: a webhook, an event hub consumer, a twins client. Their settings have the article's
//! names; by default they mean this deployment.
//!
//! ```text
//!   DPS ──webhook──▶ allocate ──▶ twins          finds or creates the twin, names the hub
//!   deviceevents ──▶ ingest ────▶ twins          telemetry onto the twin, ordered per device
//!   lifecycleevents ▶ retire ───▶ twins          removes relationships, then the twin
//! ```

mod allocate;
mod consumer;
mod dead_letters;
mod event;
mod ingest;
mod mapping;
mod retire;
mod settings;
pub mod twins_client;
mod twins_local;
mod twins_remote;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use pollux_model::resource::{Functions as App, Properties, Resource, ResourceKind, Setting};
use pollux_model::{Error, ErrorCode, ResourceName, Result, sas};
use serde_json::Value;

pub use consumer::Function;

use self::twins_client::TwinsClient;
use crate::context::Context;
use crate::twins::Twins;

/// The names under which the webhook answers: ours and that of Microsoft's sample.
pub const ALLOCATE: &str = "DpsAdtAllocationFunc";

/// The function apps of a deployment.
#[derive(Debug)]
pub struct Functions {
    context: Arc<Context>,
    twins: Arc<Twins>,
    /// Of each app that works on twins elsewhere, the client made from its settings: it keeps its token.
    remote: Mutex<HashMap<ResourceName, Remote>>,
}

/// Settings and the client made from them.
type Remote = (BTreeMap<String, Setting>, Arc<dyn TwinsClient>);

impl Functions {
    /// Makes the service; `twins` serves apps whose `ADT_SERVICE_URL` means this deployment.
    #[must_use]
    pub fn new(context: Arc<Context>, twins: Arc<Twins>) -> Arc<Self> {
        Arc::new(Self { context, twins, remote: Mutex::default() })
    }

    /// Calls an HTTP function: checks the key, runs it, returns status and body as text.
    pub async fn invoke(
        &self,
        app: &Resource,
        function: &str,
        code: Option<&str>,
        request: &Value,
    ) -> (u16, String) {
        let Ok(properties) = Self::app(app) else { return (404, "there is no such function".to_owned()) };
        if !key_opens(properties, code.unwrap_or_default()) {
            return (401, "the function key is missing or wrong: call with ?code=<key>".to_owned());
        }
        if !function.eq_ignore_ascii_case(ALLOCATE) {
            return (
                404,
                format!("there is no function '{}'; there is {ALLOCATE}", pollux_model::ids::shown(function)),
            );
        }
        self.allocate(app, request).await
    }

    fn app(resource: &Resource) -> Result<&App> {
        match &resource.properties {
            Properties::Functions(app) => Ok(app),
            _ => Err(Error::invalid(format!("'{}' is no function app", resource.name))),
        }
    }

    /// The present state of an app: settings may have changed since `app` was looked up.
    fn current(&self, app: &ResourceName) -> Result<Arc<Resource>> {
        self.context.table.named(ResourceKind::Functions, app).ok_or_else(|| {
            Error::new(ErrorCode::ResourceNotFound, format!("there is no function app '{app}'"))
        })
    }
}

/// Both keys are compared, whichever opens.
fn key_opens(app: &App, code: &str) -> bool {
    let primary = sas::secrets_equal(app.keys.primary.reveal().as_bytes(), code.as_bytes());
    let secondary = sas::secrets_equal(app.keys.secondary.reveal().as_bytes(), code.as_bytes());
    primary | secondary
}
