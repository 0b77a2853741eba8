//! `pollux dps`: device provisioning services, and what is in them.

mod attestation;
mod audit;
mod deprovision;
mod device_key;
mod enrollment;
mod enrollment_group;
mod explain;
mod issuer;
mod registration;
mod rules;
mod stats;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use ipnet::IpNet;
use pollux_model::resource::ResourceKind;
use serde_json::json;

use crate::certificates;
use crate::cli::Global;
use crate::connections::pick;
use crate::output::Column;
use crate::policies::{self, Holder};
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Dps;
const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("group", "/group"),
    ("host name", "/hostName"),
    ("id scope", "/idScope"),
    ("hubs", "/linkedHubs"),
];

/// Device provisioning services, enrollments and registration records
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a device provisioning service
    Create(CreateDps),
    /// List them
    List(List),
    /// Show one
    Show(Show),
    /// Delete one with its enrollments and registration records
    Delete(Delete),
    /// Link a hub: devices can then be assigned to it
    LinkHub(LinkHub),
    /// Unlink a hub
    UnlinkHub(UnlinkHub),
    /// Enrollment groups: who may register, all from one root
    #[command(subcommand)]
    EnrollmentGroup(enrollment_group::Command),
    /// Individual enrollments: one device each
    #[command(subcommand)]
    Enrollment(enrollment::Command),
    /// Certificates of authorities that enrollments can name
    #[command(subcommand)]
    Certificate(certificates::Command<Target>),
    /// The authority that issues certificates to devices which ask for one
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// Registration records: what became of each device
    #[command(subcommand)]
    Registration(registration::Command),
    /// Shut a device, or all devices of a group, out: of the provisioning service and of its hub
    Deprovision(Box<deprovision::Deprovision>),
    /// Tell which entry would let a device in or refuse it, and why
    Explain(explain::Explain),
    /// Who was let in or refused, by which entry, from where; who changed what
    Audit(audit::Audit),
    /// What it holds, beside the documented limits
    Stats(stats::Stats),
    /// Shared access policies
    #[command(subcommand)]
    Policy(policies::Command<Target>),
    /// Derive a device's key from its enrollment group's key
    ComputeDeviceKey(device_key::ComputeDeviceKey),
}

/// Make a device provisioning service
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pollux dps create --name dps2 --group north --hub hub1")]
pub(crate) struct CreateDps {
    #[command(flatten)]
    common: Create,
    /// The ID scope devices will know, `0ne` and 8 hex digits [default: made up]
    #[arg(long)]
    id_scope: Option<String>,
    /// A hub to link; may be repeated
    #[arg(long = "hub")]
    hubs: Vec<String>,
    /// What enrollments get that name no allocation policy: hashed, geolatency or static [default: hashed]
    #[arg(long)]
    allocation_policy: Option<String>,
}

/// Link a hub
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  pollux dps link-hub --name dps1 --hub hub2 --allocation-weight 10")]
pub(crate) struct LinkHub {
    /// The provisioning service
    #[arg(long, short = 'n', visible_alias = "dps-name")]
    name: String,
    /// The hub
    #[arg(long, visible_alias = "hub-name")]
    hub: String,
    /// 1 to 1000: more devices go to the heavier hub [default: 1]
    #[arg(long)]
    allocation_weight: Option<u32>,
    /// Whether allocation policies may pick it [default: true]
    #[arg(long)]
    apply_allocation_policy: Option<bool>,
    /// How far it is from the devices, in milliseconds: the policy geolatency picks the nearest
    #[arg(long)]
    latency_ms: Option<u32>,
    /// The same for devices of one network, such as 10.1.0.0/16=5; may be repeated, and replaces those there were
    #[arg(long, value_name = "NETWORK=MS", value_parser = latency_from)]
    latency_from: Vec<(IpNet, u32)>,
}

fn latency_from(text: &str) -> Result<(IpNet, u32)> {
    let (network, latency) = text.split_once('=').context("write NETWORK=MS, such as 10.1.0.0/16=5")?;
    let network =
        network.parse().context("the network must be an address and a length, such as 10.1.0.0/16")?;
    Ok((network, latency.parse().context("the latency must be a number of milliseconds")?))
}

/// Unlink a hub
#[derive(Debug, Args)]
pub(crate) struct UnlinkHub {
    /// The provisioning service
    #[arg(long, short = 'n', visible_alias = "dps-name")]
    name: String,
    /// The hub
    #[arg(long, visible_alias = "hub-name")]
    hub: String,
}

/// Which provisioning service.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The provisioning service, by name or host name [default: the first]
    #[arg(long, short = 'n')]
    dps_name: Option<String>,
}

impl policies::Target for Target {
    const RIGHTS: &'static [&'static str] = &[
        "ServiceConfig",
        "EnrollmentRead",
        "EnrollmentWrite",
        "RegistrationStatusRead",
        "RegistrationStatusWrite",
        "DeviceConnect",
    ];

    fn holder(&self, session: &Session) -> Result<Holder> {
        let dps = pick("DPS", &session.connections.dps, self.dps_name.as_deref())?;
        Ok(Holder { kind: KIND, name: dps.name.clone(), event_hub: None })
    }
}

/// Runs a command of this group.
pub(crate) async fn run(global: &Global, command: Command) -> Result<()> {
    // A key can be derived without a server.
    let session = || Session::open(global);
    match command {
        Command::Create(args) => {
            let mut more = json!({});
            if !args.hubs.is_empty() {
                more["linkedHubs"] = args.hubs.iter().map(|hub| json!({ "hub": hub })).collect();
            }
            if let Some(policy) = args.allocation_policy {
                more["allocationPolicy"] = json!(policy);
            }
            if let Some(scope) = args.id_scope {
                more["idScope"] = json!(scope);
            }
            resources::create(&session()?, KIND, args.common, more).await
        }
        Command::List(args) => resources::list(&session()?, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(&session()?, KIND, &args).await,
        Command::Delete(args) => resources::delete(&session()?, KIND, &args).await,
        Command::LinkHub(args) => {
            let mut body = json!({});
            if let Some(weight) = args.allocation_weight {
                body["allocationWeight"] = json!(weight);
            }
            if let Some(apply) = args.apply_allocation_policy {
                body["applyAllocationPolicy"] = json!(apply);
            }
            if let Some(latency) = args.latency_ms {
                body["latencyMs"] = json!(latency);
            }
            if !args.latency_from.is_empty() {
                body["latencies"] = json!(args.latency_from.into_iter().collect::<BTreeMap<_, _>>());
            }
            resources::put_part(&session()?, KIND, &args.name, ("linked-hubs", &args.hub), body).await
        }
        Command::UnlinkHub(args) => {
            resources::delete_part(&session()?, KIND, &args.name, ("linked-hubs", &args.hub)).await
        }
        Command::EnrollmentGroup(command) => enrollment_group::run(&session()?, command).await,
        Command::Enrollment(command) => enrollment::run(&session()?, command).await,
        Command::Certificate(command) => certificates::run(&session()?, command).await,
        Command::Issuer(command) => issuer::run(&session()?, command).await,
        Command::Registration(command) => registration::run(&session()?, command).await,
        Command::Deprovision(args) => deprovision::run(&session()?, *args).await,
        Command::Audit(args) => audit::run(&session()?, args).await,
        Command::Stats(args) => stats::run(&session()?, args).await,
        Command::Explain(args) => explain::run(&session()?, args).await,
        Command::Policy(command) => policies::run(&session()?, command).await,
        Command::ComputeDeviceKey(args) => device_key::run(global, args).await,
    }
}
