//! What `pollux hub` and `pollux twin` share: `endpoint`, and `dead-letter` of endpoints elsewhere.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use pollux_model::resource::ResourceKind;
use serde_json::{Value, json};

use crate::commands::dead_letter::{self, Deed};
use crate::output::Column;
use crate::resources;
use crate::session::Session;

const COLUMNS: &[Column] = &[
    ("name", "/name"),
    ("namespace", "/namespace"),
    ("event hub", "/eventHub"),
    ("elsewhere", "/endpoint"),
    ("webhook", "/webhook"),
    ("container", "/container"),
];
const HEALTH: &[Column] = &[
    ("name", "/endpointId"),
    ("status", "/healthStatus"),
    ("last accepted", "/lastSuccessfulSendAttemptTime"),
    ("last sent", "/lastSendAttemptTime"),
    ("last error", "/lastKnownError"),
];

/// The options that say whose endpoints are meant.
pub(crate) trait Target: Args + std::fmt::Debug {
    /// Its kind.
    const KIND: ResourceKind;

    /// Its name.
    fn name<'s>(&self, session: &'s Session) -> Result<&'s str>;
}

/// Where routes lead
#[derive(Debug, Subcommand)]
pub(crate) enum Command<T: Target> {
    /// List the endpoints
    List(T),
    /// Make or change an endpoint: an event hub of this server, one elsewhere, a webhook, or a storage container
    Create(Box<Create<T>>),
    /// Show an endpoint
    Show(Delete<T>),
    /// How the endpoints fare
    Health(T),
    /// Delete an endpoint
    Delete(Delete<T>),
}

/// Make or change an endpoint
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub endpoint create --endpoint-name alarms --namespace events1 --event-hub alarms
  pollux twin endpoint create --endpoint-name cloud --connection-string \
      'Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=…;EntityPath=telemetry'
  pollux twin endpoint create --endpoint-name app --webhook https://app.example.com/events
  pollux hub endpoint create --endpoint-name archive --container telemetry --encoding json --batch-frequency 60 \
      --connection-string 'DefaultEndpointsProtocol=https;AccountName=plant;AccountKey=…;EndpointSuffix=core.windows.net'

What is routed elsewhere waits on this server until it is accepted there, for a week at most. What is refused for the
event's own sake becomes a dead letter: see `pollux hub dead-letter` and `pollux twin dead-letter`. Webhooks take
CloudEvents, and must answer OPTIONS with WebHook-Allowed-Origin. Containers are for hubs: messages are gathered, and
written as blobs; without a connection string into the server's own folder for files.")]
pub(crate) struct Create<T: Target> {
    /// The endpoint's name
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    /// The event hubs namespace
    #[arg(
        long,
        visible_alias = "namespace-name",
        requires = "event_hub",
        required_unless_present_any = ["connection_string", "webhook", "container"]
    )]
    namespace: Option<String>,
    /// The event hub in it
    #[arg(long, requires = "namespace")]
    event_hub: Option<String>,
    /// An event hub elsewhere: its connection string, with EntityPath; with --container that of a storage account, the
    /// container's URL with a shared access signature, or S3Endpoint=https://…;AccessKeyId=…;SecretAccessKey=… for a bucket
    #[arg(long, conflicts_with_all = ["namespace", "event_hub"])]
    connection_string: Option<String>,
    /// A web server that takes CloudEvents over HTTP: its URL
    #[arg(long, conflicts_with_all = ["namespace", "event_hub", "connection_string"])]
    webhook: Option<String>,
    /// Whether what the webhook does not take is kept [default: true]
    #[arg(long, requires = "webhook", value_name = "TRUE|FALSE")]
    dead_letters: Option<bool>,
    /// A storage container
    #[arg(long, visible_alias = "container-name", conflicts_with_all = ["namespace", "event_hub", "webhook"])]
    container: Option<String>,
    /// How messages are written there [default: avro]
    #[arg(long, requires = "container", value_enum, ignore_case = true)]
    encoding: Option<Encoding>,
    /// What blobs are called [default: {iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}]
    #[arg(long, visible_alias = "ff", requires = "container", value_name = "FORMAT")]
    file_name_format: Option<String>,
    /// How long messages are gathered, in seconds: 60 to 720 [default: 300]
    #[arg(long, requires = "container", value_name = "SECONDS")]
    batch_frequency: Option<u32>,
    /// When a blob is full, in MB: 10 to 500 [default: 300]
    #[arg(long, visible_alias = "chunk-size-window", requires = "container", value_name = "MB")]
    chunk_size: Option<u64>,
    #[command(flatten)]
    target: T,
}

/// How messages are written to a container.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Encoding {
    /// Avro object container files
    Avro,
    /// A JSON object a line
    Json,
}

/// Which endpoint
#[derive(Debug, Args)]
pub(crate) struct Delete<T: Target> {
    /// The endpoint's name
    #[arg(long, visible_alias = "en")]
    endpoint_name: String,
    #[command(flatten)]
    target: T,
}

impl<T: Target> Create<T> {
    /// What the operator's API is told.
    fn body(&self) -> Value {
        if let Some(container) = &self.container {
            let mut body = json!({ "container": container });
            let encoding = self.encoding.map(|encoding| match encoding {
                Encoding::Avro => "Avro",
                Encoding::Json => "JSON",
            });
            for (name, value) in [
                ("connectionString", self.connection_string.as_ref().map(|text| json!(text))),
                ("encoding", encoding.map(|encoding| json!(encoding))),
                ("fileNameFormat", self.file_name_format.as_ref().map(|text| json!(text))),
                ("batchFrequencyInSeconds", self.batch_frequency.map(|seconds| json!(seconds))),
                ("maxChunkSizeInBytes", self.chunk_size.map(|megabytes| json!(megabytes << 20))),
            ] {
                if let Some(value) = value {
                    body[name] = value;
                }
            }
            return body;
        }
        match (&self.connection_string, &self.webhook) {
            (Some(text), _) => json!({ "connectionString": text }),
            (None, Some(url)) => match self.dead_letters {
                Some(kept) => json!({ "webhook": url, "deadLetters": kept }),
                None => json!({ "webhook": url }),
            },
            (None, None) => json!({ "namespace": self.namespace, "eventHub": self.event_hub }),
        }
    }
}

/// Runs a command about endpoints.
pub(crate) async fn run<T: Target>(session: &Session, command: Command<T>) -> Result<()> {
    match command {
        Command::List(target) => {
            resources::list_parts(session, (T::KIND, target.name(session)?), "endpoints", COLUMNS).await
        }
        Command::Create(args) => {
            let (name, part) = (args.target.name(session)?, ("endpoints", args.endpoint_name.as_str()));
            resources::put_part(session, T::KIND, name, part, args.body()).await
        }
        Command::Show(args) => {
            let path = resources::path(T::KIND, args.target.name(session)?);
            let found = session.admin()?.get(&path).send().await;
            let found = found.context("cannot show the endpoint")?.body;
            let mut all = found["endpoints"].as_array().into_iter().flatten();
            let one = all.find(|one| one["name"] == json!(args.endpoint_name));
            let one = one.with_context(|| format!("there is no endpoint '{}'", args.endpoint_name))?;
            session.output.document(one)
        }
        Command::Health(target) => {
            let path = format!("{}/endpoints-health", resources::path(T::KIND, target.name(session)?));
            let found =
                session.admin()?.get(&path).send().await.context("cannot see how the endpoints fare")?;
            session.output.rows(resources::values(found), HEALTH)
        }
        Command::Delete(args) => {
            let (name, part) = (args.target.name(session)?, ("endpoints", args.endpoint_name.as_str()));
            resources::delete_part(session, T::KIND, name, part).await
        }
    }
}

/// Events that an endpoint elsewhere refused
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters<T: Target> {
    /// List them
    List(List<T>),
    /// Show one, with its event
    Show(One<T>),
    /// Send one again; it is forgotten when it is accepted
    Replay(One<T>),
    /// Forget one
    Delete(One<T>),
}

/// List dead letters
#[derive(Debug, Args)]
pub(crate) struct List<T: Target> {
    /// Only those of this endpoint
    #[arg(long, visible_alias = "en")]
    endpoint_name: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    top: usize,
    #[command(flatten)]
    target: T,
}

/// Which dead letter.
#[derive(Debug, Args)]
pub(crate) struct One<T: Target> {
    /// Its id, as `list` shows it
    #[arg(value_name = "ID")]
    id: i64,
    #[command(flatten)]
    target: T,
}

/// Runs a command about dead letters.
pub(crate) async fn run_dead_letters<T: Target>(session: &Session, command: DeadLetters<T>) -> Result<()> {
    let (target, deed) = match &command {
        DeadLetters::List(args) => {
            (&args.target, Deed::List { of: args.endpoint_name.as_deref(), top: args.top })
        }
        DeadLetters::Show(one) => (&one.target, Deed::Show(one.id)),
        DeadLetters::Replay(one) => (&one.target, Deed::Replay(one.id)),
        DeadLetters::Delete(one) => (&one.target, Deed::Delete(one.id)),
    };
    dead_letter::run(session, T::KIND, target.name(session)?, deed).await
}
