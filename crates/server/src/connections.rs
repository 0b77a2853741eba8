//! What clients need to connect: `connections.json` in the data folder (mode 0600), and the text printed at start.

use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use pollux_model::resource::{BuiltInEndpoint, Hub, Policy, PolicyRight, Properties, Resource, ResourceKind};
use pollux_services::Services;
use serde::{Deserialize, Serialize};

use crate::error::ServeError;
use crate::listen::Ports;

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The form of this file.
const VERSION: u32 = 1;

/// Everything a client needs. Carries secrets: `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connections {
    /// 1.
    pub version: u32,
    /// Absolute path of the data folder.
    pub data_dir: String,
    /// Absolute path of the CA to trust.
    pub ca: String,
    /// The operator's API.
    pub admin: AdminConnection,
    /// The ports that are listened on.
    pub ports: ConnectionPorts,
    /// The token issuer and the first client.
    pub identity: IdentityConnection,
    /// Provisioning services.
    pub dps: Vec<DpsConnection>,
    /// Hubs.
    pub hub: Vec<HubConnection>,
    /// Event hubs namespaces.
    pub events: Vec<EventsConnection>,
    /// Digital twins instances.
    pub twins: Vec<TwinsConnection>,
    /// Function apps.
    pub functions: Vec<FunctionsConnection>,
}

/// The operator's API.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminConnection {
    /// Such as `https://localhost:8443`.
    pub url: String,
    /// The admin key (base64).
    pub key: String,
}

/// The ports that are listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionPorts {
    /// HTTPS.
    pub https: Vec<u16>,
    /// MQTT over TLS.
    pub mqtt: Vec<u16>,
    /// AMQP over TLS.
    #[serde(default)]
    pub amqp: Vec<u16>,
    /// AMQP without TLS, on the server's machine only.
    #[serde(default)]
    pub amqp_plain: Vec<u16>,
}

/// The token issuer and the first client.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityConnection {
    /// Such as `https://localhost:8443`.
    pub authority: String,
    /// A GUID.
    pub tenant_id: String,
    /// A GUID.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: String,
}

/// A provisioning service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DpsConnection {
    /// The resource's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The host name, without a port.
    pub host_name: String,
    /// What devices know.
    pub id_scope: String,
    /// With the first policy's primary key.
    pub connection_string: String,
}

/// A hub.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubConnection {
    /// The resource's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The host name, without a port.
    pub host_name: String,
    /// With the first policy's primary key.
    pub connection_string: String,
    /// For clients of event hubs: the built-in endpoint, with the key of the narrowest policy that may read it.
    #[serde(default)]
    pub events_connection_string: String,
}

/// An event hubs namespace.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsConnection {
    /// The resource's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The host name, without a port.
    pub host_name: String,
    /// With the first policy's primary key.
    pub connection_string: String,
}

/// A digital twins instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TwinsConnection {
    /// The resource's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The host name, without a port.
    pub host_name: String,
    /// Such as `https://localhost:8443`.
    pub url: String,
}

/// A function app.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionsConnection {
    /// The resource's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// The host name, without a port.
    pub host_name: String,
    /// Such as `https://localhost:8443`.
    pub url: String,
    /// The allocation webhook with its key.
    pub allocate_url: String,
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("data_dir", &self.data_dir)
            .field("url", &self.admin.url)
            .finish_non_exhaustive()
    }
}

/// These carry secrets too: their `Debug` shows no field.
macro_rules! closed_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

closed_debug!(
    AdminConnection,
    IdentityConnection,
    DpsConnection,
    HubConnection,
    EventsConnection,
    FunctionsConnection
);

impl Connections {
    /// As things stand now.
    pub(crate) fn of(
        services: &Services,
        data_dir: &str,
        ca: &str,
        ports: &Ports,
    ) -> Result<Self, ServeError> {
        let unready = || ServeError::System("the services are not loaded".to_owned());
        let credentials = services.issuer.credentials().map_err(|_| unready())?;
        let admin_key = services.authority.reveal_admin_key().ok_or_else(unready)?;
        let authority = services.issuer.authority().to_owned();
        let mut connections = Self {
            version: VERSION,
            data_dir: data_dir.to_owned(),
            ca: ca.to_owned(),
            admin: AdminConnection { url: authority.clone(), key: admin_key.reveal().to_owned() },
            ports: ConnectionPorts {
                https: ports.https.clone(),
                mqtt: ports.mqtt.clone(),
                amqp: ports.amqp.clone(),
                amqp_plain: ports.amqp_plain.clone(),
            },
            identity: IdentityConnection {
                authority,
                tenant_id: credentials.tenant_id,
                client_id: credentials.client_id,
                client_secret: credentials.client_secret,
            },
            dps: Vec::new(),
            hub: Vec::new(),
            events: Vec::new(),
            twins: Vec::new(),
            functions: Vec::new(),
        };
        for resource in services.context.table.all().iter() {
            connections.add(resource, ports.main());
        }
        Ok(connections)
    }

    fn add(&mut self, resource: &Resource, port: u16) {
        let (name, group, host_name) =
            (resource.name.to_string(), resource.group.clone(), resource.host_name.clone());
        let url = url(&host_name, port);
        let connection_string = connection_string(resource);
        match &resource.properties {
            Properties::Dps(dps) => {
                let id_scope = dps.id_scope.clone();
                self.dps.push(DpsConnection { name, group, host_name, id_scope, connection_string });
            }
            Properties::Hub(hub) => {
                let events_connection_string = built_in_endpoint(resource, hub);
                let hub =
                    HubConnection { name, group, host_name, connection_string, events_connection_string };
                self.hub.push(hub);
            }
            Properties::Events(_) => {
                self.events.push(EventsConnection { name, group, host_name, connection_string })
            }
            Properties::Twins(_) => self.twins.push(TwinsConnection { name, group, host_name, url }),
            Properties::Functions(functions) => {
                let code = utf8_percent_encode(functions.keys.primary.reveal(), COMPONENT);
                let allocate_url = format!("{url}/api/DpsAdtAllocationFunc?code={code}");
                self.functions.push(FunctionsConnection { name, group, host_name, url, allocate_url });
            }
        }
    }

    /// For a person, printed at start: where everything is, without keys.
    #[must_use]
    pub fn human(&self) -> String {
        let mut text = String::new();
        let list = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<22}{value}");
        };
        for one in &self.dps {
            line("DPS", &format!("{} at {}, ID scope {}", one.name, one.host_name, one.id_scope));
        }
        for one in &self.hub {
            line("IoT hub", &format!("{} at {}", one.name, one.host_name));
        }
        for one in &self.events {
            line("Event hubs namespace", &format!("{} at {}", one.name, one.host_name));
        }
        for one in &self.twins {
            line("Digital twins", &format!("{} at {}", one.name, one.url));
        }
        for one in &self.functions {
            line("Functions", &format!("{} at {}", one.name, one.url));
        }
        line("Tokens", &format!("{}/{}", self.identity.authority, self.identity.tenant_id));
        let ports = &self.ports;
        let (https, mqtt, amqp) = (list(&ports.https), list(&ports.mqtt), list(&ports.amqp));
        line("Ports", &format!("HTTPS {https}; MQTT {mqtt}; AMQP {amqp}"));
        line("CA to trust", &self.ca);
        line("Connection strings", &format!("{}/connections.json", self.data_dir));
        text
    }
}

/// With the primary key of the policy with the most rights, the first of those: the owner's, unless it was deleted. Empty
/// where there is none.
fn connection_string(resource: &Resource) -> String {
    let policies = match &resource.properties {
        Properties::Dps(dps) => &dps.policies,
        Properties::Hub(hub) => &hub.policies,
        Properties::Events(events) => &events.policies,
        Properties::Twins(_) | Properties::Functions(_) => return String::new(),
    };
    // Of several, `max_by_key` takes the last.
    let Some(policy) = policies.iter().rev().max_by_key(|policy| policy.rights.len()) else {
        return String::new();
    };
    let (host, name, key) = (&resource.host_name, &policy.name, policy.primary().reveal());
    if resource.kind() == ResourceKind::Events {
        return format!("Endpoint=sb://{host}/;SharedAccessKeyName={name};SharedAccessKey={key}");
    }
    format!("HostName={host};SharedAccessKeyName={name};SharedAccessKey={key}")
}

/// Of a hub's built-in endpoint. Empty where no policy may read it.
fn built_in_endpoint(resource: &Resource, hub: &Hub) -> String {
    let reads = |policy: &&Policy| policy.rights.contains(&PolicyRight::ServiceConnect);
    // The narrowest one that may: readers need no more.
    let Some(policy) = hub.policies.iter().filter(reads).min_by_key(|policy| policy.rights.len()) else {
        return String::new();
    };
    let (host, name, key) = (&resource.host_name, &policy.name, policy.primary().reveal());
    let event_hub = BuiltInEndpoint::name(&resource.name);
    format!("Endpoint=sb://{host}/;SharedAccessKeyName={name};SharedAccessKey={key};EntityPath={event_hub}")
}

/// `https://host:port`, without the port where it is HTTPS's own.
pub(crate) fn url(host: &str, port: u16) -> String {
    if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") }
}
