//! `pollux hub`: IoT hubs, and what is in them.

mod authentication;
mod c2d_message;
mod configuration;
mod consumer_group;
mod device;
mod device_identity;
mod device_twin;
mod digital_twin;
mod enrichment;
mod file_upload;
mod invoke_method;
mod job;
mod module_identity;
mod module_twin;
mod monitor;
mod parent;
mod query;
mod quota_metrics;
mod route;
mod statistics;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use pollux_client::rest::Response;
use pollux_model::resource::ResourceKind;
use serde_json::{Value, json};

use crate::certificates;
use crate::commands::endpoint;
use crate::connections::pick;
use crate::input::{self, segment};
use crate::output::Column;
use crate::policies::{self, Holder};
use crate::resources::{self, Create, Delete, List, Show};
use crate::session::Session;

const KIND: ResourceKind = ResourceKind::Hub;
const COLUMNS: &[Column] =
    &[("name", "/name"), ("group", "/group"), ("host name", "/hostName"), ("routes", "/routes")];

/// IoT hubs, device identities, device twins and routes
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a hub
    Create(Create),
    /// List hubs
    List(List),
    /// Show a hub with its routes
    Show(Show),
    /// Delete a hub with all its devices
    Delete(Delete),
    /// Change a hub's built-in endpoint and its fallback route
    Update(Update),
    /// Device identities
    #[command(subcommand)]
    Device(device::Command),
    /// Identities to and from files of blob storage, by jobs
    #[command(subcommand)]
    DeviceIdentity(device_identity::Command),
    /// Device twins: tags, desired and reported properties
    #[command(subcommand)]
    DeviceTwin(device_twin::Command),
    /// Digital twins of Plug and Play devices: components, properties, commands
    #[command(subcommand)]
    DigitalTwin(digital_twin::Command),
    /// Configurations: what many devices or modules are to desire
    #[command(subcommand)]
    Configuration(configuration::Command),
    /// Cloud-to-device messages: send, receive, settle, purge
    #[command(subcommand)]
    C2dMessage(c2d_message::Command),
    /// Files that devices upload: where they go, what services are told, one sent and fetched
    #[command(subcommand)]
    FileUpload(file_upload::Command),
    /// Ask a connected device, and wait for its answer: a direct method
    InvokeDeviceMethod(invoke_method::InvokeMethod),
    /// Module identities: parts of a device that connect by themselves
    #[command(subcommand)]
    ModuleIdentity(module_identity::Command),
    /// Module twins: tags, desired and reported properties
    #[command(subcommand)]
    ModuleTwin(module_twin::Command),
    /// Ask a connected module, and wait for its answer: a direct method
    InvokeModuleMethod(invoke_method::InvokeModuleMethod),
    /// Certificates of authorities: devices registered so may show one that such a one signed
    #[command(subcommand)]
    Certificate(certificates::Command<Target>),
    /// Scheduled jobs: a twin change or a direct method for many devices
    #[command(subcommand)]
    Job(job::Command),
    /// Query devices by their twins, and jobs by what became of them
    Query(query::Query),
    /// Message routes
    #[command(subcommand, visible_alias = "message-route")]
    Route(route::Command),
    /// What messages get on their way to endpoints
    #[command(subcommand)]
    MessageEnrichment(enrichment::Command),
    /// Where routes lead
    #[command(subcommand, visible_alias = "message-endpoint")]
    Endpoint(endpoint::Command<Target>),
    /// Consumer groups of the built-in endpoint
    #[command(subcommand)]
    ConsumerGroup(consumer_group::Command),
    /// Events that an endpoint elsewhere refused
    #[command(subcommand)]
    DeadLetter(endpoint::DeadLetters<Target>),
    /// Show how many devices there are, enabled, disabled and connected
    Statistics(statistics::Statistics),
    /// Show how many messages and devices a hub has, and how many it may have
    ShowQuotaMetrics(quota_metrics::ShowQuotaMetrics),
    /// Show what devices send, as it comes to the built-in endpoint
    Monitor(monitor::Monitor),
    /// Shared access policies
    #[command(subcommand)]
    Policy(policies::Command<Target>),
}

/// Change a hub
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub update --partition-count 8 --retention-hours 72 --consumer-group dashboards
  pollux hub update --fallback-route false           messages that no route takes are dropped
  pollux hub update --sku S1 --unit 2                as slow as two units of S1: 200 identity operations a minute, …
  pollux hub update --sku none                       as fast as it can, which is the default")]
pub(crate) struct Update {
    /// Partitions of the built-in endpoint: 1 to 32; may only grow
    #[arg(long)]
    partition_count: Option<u32>,
    /// How long the built-in endpoint keeps events, in hours
    #[arg(long, visible_alias = "retention-time")]
    retention_hours: Option<u32>,
    /// How many bytes a partition of it keeps at most
    #[arg(long)]
    retention_bytes: Option<u64>,
    /// A consumer group of the built-in endpoint to make; may be repeated
    #[arg(long = "consumer-group")]
    consumer_groups: Vec<String>,
    /// Whether messages that no route takes go to the built-in endpoint
    #[arg(long, value_name = "TRUE|FALSE")]
    fallback_route: Option<bool>,
    /// How long a message to a device lives, as ISO 8601 writes it: PT1M to P2D
    #[arg(long, value_name = "DURATION")]
    c2d_ttl: Option<String>,
    /// How often a device may abandon a message: 1 to 100
    #[arg(long, visible_alias = "cdd")]
    c2d_max_delivery_count: Option<u32>,
    /// How long feedback is kept: PT1M to P2D
    #[arg(long, visible_alias = "ft", value_name = "DURATION")]
    feedback_ttl: Option<String>,
    /// How long a receiver has for feedback: PT5S to PT5M
    #[arg(long, visible_alias = "fld", value_name = "DURATION")]
    feedback_lock_duration: Option<String>,
    /// How often feedback may be abandoned: 1 to 100
    #[arg(long, visible_alias = "fdd")]
    feedback_max_delivery_count: Option<u32>,
    /// Hold it to the throttles and the daily quota of one of Azure's tiers; none: to nothing
    #[arg(long, value_parser = ["F1", "S1", "S2", "S3", "none"], ignore_case = true)]
    sku: Option<String>,
    /// How many units of the tier [default: what it has, or 1]
    #[arg(long, visible_alias = "capacity")]
    unit: Option<u32>,
    #[command(flatten)]
    target: Target,
}

/// Which hub.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The hub, by name or host name [default: the first]
    #[arg(long, short = 'n')]
    hub_name: Option<String>,
}

/// Which module.
#[derive(Debug, Args)]
pub(crate) struct Module {
    /// The device's id
    #[arg(long, short = 'd')]
    device_id: String,
    /// The module's id
    #[arg(long, short = 'm')]
    module_id: String,
}

impl Module {
    /// Its path below `devices` or `twins`.
    fn path(&self, noun: &str) -> String {
        format!("/{noun}/{}/modules/{}", segment(&self.device_id), segment(&self.module_id))
    }

    /// For people.
    fn name(&self) -> String {
        format!("{}/{}", self.device_id, self.module_id)
    }
}

impl endpoint::Target for Target {
    const KIND: ResourceKind = KIND;

    fn name<'s>(&self, session: &'s Session) -> Result<&'s str> {
        route::hub(session, self)
    }
}

impl policies::Target for Target {
    const RIGHTS: &'static [&'static str] =
        &["RegistryRead", "RegistryWrite", "ServiceConnect", "DeviceConnect"];

    fn holder(&self, session: &Session) -> Result<Holder> {
        let hub = pick("hub", &session.connections.hub, self.hub_name.as_deref())?;
        Ok(Holder { kind: KIND, name: hub.name.clone(), event_hub: None })
    }
}

/// Runs a command of this group.
pub(crate) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Create(args) => resources::create(session, KIND, args, json!({})).await,
        Command::List(args) => resources::list(session, KIND, &args, COLUMNS).await,
        Command::Show(args) => resources::show(session, KIND, &args).await,
        Command::Delete(args) => resources::delete(session, KIND, &args).await,
        Command::Update(args) => update(session, args).await,
        Command::Device(command) => device::run(session, command).await,
        Command::DeviceIdentity(command) => device_identity::run(session, command).await,
        Command::DeviceTwin(command) => device_twin::run(session, command).await,
        Command::DigitalTwin(command) => digital_twin::run(session, command).await,
        Command::Configuration(command) => configuration::run(session, command).await,
        Command::C2dMessage(command) => c2d_message::run(session, command).await,
        Command::FileUpload(command) => file_upload::run(session, command).await,
        Command::InvokeDeviceMethod(args) => invoke_method::run(session, args).await,
        Command::ModuleIdentity(command) => module_identity::run(session, command).await,
        Command::ModuleTwin(command) => module_twin::run(session, command).await,
        Command::InvokeModuleMethod(args) => invoke_method::run_module(session, args).await,
        Command::Certificate(command) => certificates::run(session, command).await,
        Command::Job(command) => job::run(session, command).await,
        Command::Query(args) => query::run(session, args).await,
        Command::MessageEnrichment(command) => enrichment::run(session, command).await,
        Command::Route(command) => route::run(session, command).await,
        Command::Endpoint(command) => endpoint::run(session, command).await,
        Command::ConsumerGroup(command) => consumer_group::run(session, command).await,
        Command::DeadLetter(command) => endpoint::run_dead_letters(session, command).await,
        Command::Statistics(args) => statistics::run(session, args).await,
        Command::ShowQuotaMetrics(args) => quota_metrics::run(session, args).await,
        Command::Monitor(args) => monitor::run(session, args).await,
        Command::Policy(command) => policies::run(session, command).await,
    }
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let groups = Some(args.consumer_groups).filter(|groups| !groups.is_empty());
    let tier = args.sku.is_some() || args.unit.is_some();
    let mut body = json!({ "events": {}, "cloudToDevice": { "feedback": {} } });
    let members = [
        ("/events/partitions", args.partition_count.map(Value::from)),
        ("/events/retentionHours", args.retention_hours.map(Value::from)),
        ("/events/retentionBytes", args.retention_bytes.map(Value::from)),
        ("/events/consumerGroups", groups.map(Value::from)),
        ("/fallbackRoute", args.fallback_route.map(Value::from)),
        ("/cloudToDevice/defaultTtlAsIso8601", args.c2d_ttl.map(Value::from)),
        ("/cloudToDevice/maxDeliveryCount", args.c2d_max_delivery_count.map(Value::from)),
        ("/cloudToDevice/feedback/ttlAsIso8601", args.feedback_ttl.map(Value::from)),
        ("/cloudToDevice/feedback/lockDurationAsIso8601", args.feedback_lock_duration.map(Value::from)),
        ("/cloudToDevice/feedback/maxDeliveryCount", args.feedback_max_delivery_count.map(Value::from)),
        ("/sku", tier.then(|| json!({ "name": args.sku, "capacity": args.unit }))),
    ];
    input::fill(&mut body, members);
    resources::shown(session, changed(session, &args.target, body).await?, false)
}

/// The hub, changed by what is said of it.
async fn changed(session: &Session, target: &Target, body: Value) -> Result<Response> {
    let name = route::hub(session, target)?;
    let changed = session.admin()?.patch(&resources::path(KIND, name)).json(body).send().await;
    changed.with_context(|| format!("cannot change the hub '{name}'"))
}

/// What becomes of a message that was received under a lock.
#[derive(Debug, Clone, Copy)]
enum End {
    Complete,
    Reject,
    Abandon,
}

/// Settles a message of a queue by its etag, which is its lock's token; `what` it is, for people.
async fn settle(
    session: &Session,
    target: &Target,
    (queue, etag): (&str, &str),
    end: End,
    what: &str,
) -> Result<()> {
    let rest = session.hub(target.hub_name.as_deref())?;
    let path = format!("{queue}/{}", segment(etag.trim_matches('"')));
    let request = match end {
        End::Complete => rest.delete(&path),
        End::Reject => rest.delete(&path).query("reject", ""),
        End::Abandon => rest.post(&format!("{path}/abandon")).bytes(Vec::new()),
    };
    request.send().await.with_context(|| format!("{what} is not settled"))?;
    Ok(())
}
