//! What a resource has when nobody says otherwise, and the resources a deployment begins with.

use pollux_model::resource::{BUILT_IN_ENDPOINT, Policy, PolicyRight, ResourceKind, RouteSource};
use pollux_model::{Etag, KeyPair, Random, Result};
use pollux_store::secrets::Secret;
use pollux_store::{Batch, Expect, Write};

use super::declared::{
    Declared, DeclaredDps, DeclaredEndpoint, DeclaredEventHub, DeclaredEvents, DeclaredFunctions,
    DeclaredHub, DeclaredLink, DeclaredRoute, DeclaredTwins,
};
use super::{Resources, commit_failed, store_failed};
use crate::caller::Caller;

/// The resource group of what names none.
pub(super) const GROUP: &str = "default";
/// Partitions of a new event hub.
pub(super) const PARTITIONS: u32 = 4;
/// The event hubs of the default namespace.
const EVENT_HUBS: [&str; 2] = ["deviceevents", "lifecycleevents"];
/// Hours a new event hub keeps events.
pub(super) const RETENTION_HOURS: u32 = 24;

/// The policy every namespace has.
pub(super) const ROOT_POLICY: &str = "RootManageSharedAccessKey";

/// The policies Azure makes with a new resource (articles "Control access to IoT Hub", "Control access to Azure IoT Hub
/// Device Provisioning Service", "Authorize access with shared access signatures" of Event Hubs).
pub(super) fn policies(kind: ResourceKind, random: &dyn Random) -> Vec<Policy> {
    use PolicyRight::{
        DeviceConnect, EnrollmentRead, EnrollmentWrite, Listen, Manage, RegistrationStatusRead,
        RegistrationStatusWrite, RegistryRead, RegistryWrite, Send, ServiceConfig, ServiceConnect,
    };
    let table: &[(&str, &[PolicyRight])] = match kind {
        ResourceKind::Dps => &[(
            "provisioningserviceowner",
            &[
                ServiceConfig,
                EnrollmentRead,
                EnrollmentWrite,
                RegistrationStatusRead,
                RegistrationStatusWrite,
                DeviceConnect,
            ],
        )],
        ResourceKind::Hub => &[
            ("iothubowner", &[RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect]),
            ("service", &[ServiceConnect]),
            ("device", &[DeviceConnect]),
            ("registryRead", &[RegistryRead]),
            ("registryReadWrite", &[RegistryRead, RegistryWrite]),
        ],
        ResourceKind::Events => &[(ROOT_POLICY, &[Manage, Send, Listen])],
        ResourceKind::Twins | ResourceKind::Functions => &[],
    };
    table.iter().map(|(name, rights)| Policy::new(name, KeyPair::generate(random), rights)).collect()
}

impl Resources {
    /// One resource of each kind that the configuration declares none of, linked with each other: at the first start
    /// only, so that what the operator deleted stays deleted.
    pub(super) async fn ensure_defaults(&self, declared: &[Declared]) -> Result<()> {
        let store = &self.context.store;
        let marks = store.secrets("deployment").await.map_err(store_failed)?;
        if marks.iter().any(|mark| mark.id == "defaults") {
            return Ok(());
        }
        let said = |kind| declared.iter().any(|one| one.kind() == kind);
        let present = |kind| self.context.table.all().iter().any(|one| one.kind() == kind);
        let wanted = |kind| !said(kind) && !present(kind);
        let (events, hub) = (wanted(ResourceKind::Events), wanted(ResourceKind::Hub));
        let mut defaults = Vec::new();
        if events {
            defaults.push(default_events());
        }
        if wanted(ResourceKind::Twins) {
            defaults.push(Declared::Twins(DeclaredTwins { name: "twins1".to_owned(), ..Default::default() }));
        }
        if wanted(ResourceKind::Functions) {
            let name = "functions1".to_owned();
            defaults.push(Declared::Functions(DeclaredFunctions { name, ..Default::default() }));
        }
        if hub {
            defaults.push(default_hub(events || self.has_default_event_hubs()));
        }
        if wanted(ResourceKind::Dps) {
            let table = self.context.table.all();
            let hubs =
                table.iter().filter(|one| one.kind() == ResourceKind::Hub).map(|one| one.name.to_string());
            defaults.push(default_dps(hubs.chain(hub.then(|| "hub1".to_owned())).collect()));
        }
        // `apply`, not `create`: a crash on the way leaves some of them made.
        for one in &defaults {
            self.apply(&Caller::admin(), one).await?;
        }
        let mark = Secret {
            scope: "deployment".to_owned(),
            id: "defaults".to_owned(),
            value: "\"made\"".to_owned(),
            etag: Etag::fresh(&*self.context.random),
            created: self.context.clock.now(),
        };
        let write = Write::PutSecret { secret: Box::new(mark), expect: Expect::Any };
        store.commit(Batch::from(write)).await.map_err(commit_failed)
    }
}

impl Resources {
    /// Made by an earlier start that was cut off, or declared the same.
    fn has_default_event_hubs(&self) -> bool {
        let namespace = self.context.table.named(ResourceKind::Events, "events1");
        let has = |name| namespace.as_deref().is_some_and(|one| super::check::event_hub(one, name).is_some());
        EVENT_HUBS.into_iter().all(has)
    }
}

fn default_events() -> Declared {
    let event_hub = |name: &str| DeclaredEventHub { name: name.to_owned(), ..Default::default() };
    Declared::Events(DeclaredEvents {
        name: "events1".to_owned(),
        event_hubs: EVENT_HUBS.into_iter().map(event_hub).collect(),
        ..Default::default()
    })
}

fn default_hub(with_routes: bool) -> Declared {
    let mut hub = DeclaredHub { name: "hub1".to_owned(), ..Default::default() };
    let routes = [
        ("deviceevents", RouteSource::DeviceMessages, "true"),
        ("lifecycleevents", RouteSource::DeviceLifecycleEvents, "opType='deleteDeviceIdentity'"),
    ];
    for (name, source, condition) in routes.into_iter().filter(|_| with_routes) {
        hub.endpoints.push(DeclaredEndpoint {
            name: name.to_owned(),
            namespace: Some("events1".to_owned()),
            event_hub: Some(name.to_owned()),
            ..Default::default()
        });
        hub.routes.push(DeclaredRoute {
            name: name.to_owned(),
            source,
            condition: Some(condition.to_owned()),
            endpoint: name.to_owned(),
            enabled: None,
        });
    }
    if with_routes {
        // A hub that Azure has just made has no routes, so all that devices send is at its built-in endpoint; here the fallback
        // route would take none of it.
        hub.routes.push(DeclaredRoute {
            name: "built-in".to_owned(),
            source: RouteSource::DeviceMessages,
            condition: None,
            endpoint: BUILT_IN_ENDPOINT.to_owned(),
            enabled: None,
        });
    }
    Declared::Hub(hub)
}

fn default_dps(hubs: Vec<String>) -> Declared {
    let link = |hub| DeclaredLink { hub, ..Default::default() };
    Declared::Dps(DeclaredDps {
        name: "dps1".to_owned(),
        linked_hubs: hubs.into_iter().map(link).collect(),
        ..Default::default()
    })
}
