//! `pollux hub file-upload`: where devices' files go, what services are told of them, and a file of a device's sent and fetched.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{ArgGroup, Args, Subcommand};
use pollux_client::Rest;
use serde_json::{Value, json};

use super::route::hub;
use super::{End, KIND, Target};
use crate::input::{self, segment};
use crate::resources;
use crate::session::Session;

/// The queue of what services are told.
const NOTIFICATIONS: &str = "/messages/servicebound/filenotifications";
/// Bytes of a block.
const BLOCK: usize = 4 * 1024 * 1024;
/// What the hub keeps itself is here.
const OWN: &str = "hub-files";

/// Files that devices upload
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where files go, and how services are told
    Show(Target),
    /// Change where files go, and how services are told
    Update(Update),
    /// Upload a file, as the device would
    Send(Send),
    /// Receive the next notification of a file
    Receive(Receive),
    /// Complete a notification that was received
    Complete(Settle),
    /// Abandon a notification that was received: it comes again
    Abandon(Settle),
    /// Fetch a file that the hub keeps itself
    Download(Download),
}

/// Change where files go
#[derive(Debug, Args)]
#[command(after_help = "\
Without a storage account the hub keeps files in its deployment's folder (files.folder), and signs their URLs itself.

Examples:
  pollux hub file-upload update --connection-string 'DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…' \\
      --container-name uploads --sas-ttl PT2H
  pollux hub file-upload update --notifications false
  pollux hub file-upload update --connection-string ''          back to the folder")]
pub(crate) struct Update {
    /// Of a storage account, with its key
    #[arg(long, visible_alias = "fcs")]
    connection_string: Option<String>,
    /// The container in it; made when the first file comes
    #[arg(long, visible_alias = "fc")]
    container_name: Option<String>,
    /// How long a device has for an upload: PT1M to P1D
    #[arg(long, visible_alias = "fst", value_name = "DURATION")]
    sas_ttl: Option<String>,
    /// Whether services are told of files
    #[arg(long, visible_alias = "fn", value_name = "TRUE|FALSE")]
    notifications: Option<bool>,
    /// How long a notification is kept: PT1M to P2D
    #[arg(long, visible_alias = "fnt", value_name = "DURATION")]
    notification_ttl: Option<String>,
    /// How long a receiver has for one: PT5S to PT5M
    #[arg(long, visible_alias = "fnld", value_name = "DURATION")]
    notification_lock_duration: Option<String>,
    /// How often one may be abandoned: 1 to 100
    #[arg(long, visible_alias = "fnd")]
    notification_max_delivery_count: Option<u32>,
    #[command(flatten)]
    target: Target,
}

/// Upload a file, as the device would
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux hub file-upload send -d thermostat-67 --file-path log.txt
  pollux hub file-upload send -d thermostat-67 --file-path log.txt --blob-name 2026/11/log.txt")]
pub(crate) struct Send {
    /// The device
    #[arg(long, short = 'd')]
    device_id: String,
    /// The file
    #[arg(long, visible_alias = "fp", value_name = "FILE")]
    file_path: PathBuf,
    /// What it is called behind the device's id [default: the file's name]
    #[arg(long)]
    blob_name: Option<String>,
    #[command(flatten)]
    target: Target,
}

/// Receive the next notification of a file
#[derive(Debug, Args)]
#[command(
    after_help = "Prints nothing where none waits. Settle it by its etag within the lock's time, or at once."
)]
#[command(group = ArgGroup::new("settle").args(["complete", "abandon"]))]
pub(crate) struct Receive {
    /// Complete it
    #[arg(long)]
    complete: bool,
    /// Abandon it
    #[arg(long)]
    abandon: bool,
    #[command(flatten)]
    target: Target,
}

/// Settle a notification that was received
#[derive(Debug, Args)]
pub(crate) struct Settle {
    /// The etag that it came with: its lock token
    #[arg(long, short = 'e')]
    etag: String,
    #[command(flatten)]
    target: Target,
}

/// Fetch a file that the hub keeps itself
#[derive(Debug, Args)]
pub(crate) struct Download {
    /// As notifications name it: the device's id, a slash, and the file's name
    #[arg(long)]
    blob_name: String,
    /// Where it is written to; - for standard output
    #[arg(long, visible_alias = "fp", value_name = "FILE", default_value = "-")]
    file_path: String,
    #[command(flatten)]
    target: Target,
}

/// Runs a command of this group.
pub(super) async fn run(session: &Session, command: Command) -> Result<()> {
    match command {
        Command::Show(target) => {
            let answer = resources::get(session, KIND, hub(session, &target)?).await?;
            session.output.document(&answer.body["fileUpload"])
        }
        Command::Update(args) => update(session, args).await,
        Command::Send(args) => send(session, args).await,
        Command::Receive(args) => receive(session, args).await,
        Command::Complete(args) => settle(session, &args, End::Complete).await,
        Command::Abandon(args) => settle(session, &args, End::Abandon).await,
        Command::Download(args) => download(session, args).await,
    }
}

async fn update(session: &Session, args: Update) -> Result<()> {
    let mut said = json!({ "fileNotifications": {} });
    let members = [
        ("/connectionString", args.connection_string.map(Value::from)),
        ("/containerName", args.container_name.map(Value::from)),
        ("/sasTtlAsIso8601", args.sas_ttl.map(Value::from)),
        ("/enableFileUploadNotifications", args.notifications.map(Value::from)),
        ("/fileNotifications/ttlAsIso8601", args.notification_ttl.map(Value::from)),
        ("/fileNotifications/lockDurationAsIso8601", args.notification_lock_duration.map(Value::from)),
        ("/fileNotifications/maxDeliveryCount", args.notification_max_delivery_count.map(Value::from)),
    ];
    input::fill(&mut said, members);
    let changed = super::changed(session, &args.target, json!({ "fileUpload": said })).await?;
    session.output.document(&changed.body["fileUpload"])
}

async fn send(session: &Session, args: Send) -> Result<()> {
    let name = match &args.blob_name {
        Some(name) => name.clone(),
        None => match args.file_path.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => bail!("'{}' is no file", args.file_path.display()),
        },
    };
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let files = format!("/devices/{}/files", segment(&args.device_id));
    let place = rest.post(&files).json(json!({ "blobName": name })).send().await;
    let place = place.with_context(|| format!("'{}' may not upload '{name}'", args.device_id))?.body;
    let sent = put(session, &place, args.file_path).await;
    let (status, what) = if sent.is_ok() { (201, "uploaded") } else { (500, "the upload failed") };
    let end = json!({
        "correlationId": place["correlationId"], "isSuccess": sent.is_ok(), "statusCode": status, "statusDescription": what,
    });
    let told = rest.post(&format!("{files}/notifications")).json(end).send().await;
    sent?;
    told.context("the file is there, but the hub does not take it for uploaded")?;
    session
        .output
        .document(&json!({ "containerName": place["containerName"], "blobName": place["blobName"] }))
}

/// Block by block, however large it is.
async fn put(session: &Session, place: &Value, path: PathBuf) -> Result<()> {
    let get = |name: &str| place[name].as_str().unwrap_or_default();
    let storage: Rest = session.storage(get("hostName"))?;
    let blob: Vec<_> = get("blobName").split('/').map(segment).collect();
    let (_, within) = get("hostName").split_once('/').unwrap_or_default();
    let within = if within.is_empty() { String::new() } else { format!("/{within}") };
    let url = format!("{within}/{}/{}{}", get("containerName"), blob.join("/"), get("sasToken"));
    let mut file = std::fs::File::open(&path).with_context(|| format!("cannot read '{}'", path.display()))?;
    let mut list = String::new();
    for number in 0_u32.. {
        let mut block = Vec::with_capacity(BLOCK);
        std::io::Read::by_ref(&mut file).take(BLOCK as u64).read_to_end(&mut block)?;
        if block.is_empty() {
            break;
        }
        let id = BASE64.encode(format!("{number:08}"));
        let put = storage.put(&url).query("comp", "block").query("blockid", &id).bytes(block);
        put.send().await.context("a part of the file is not taken")?;
        list.push_str(&format!("<Latest>{id}</Latest>"));
    }
    let list = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{list}</BlockList>");
    let put = storage.put(&url).query("comp", "blocklist").bytes(list.into_bytes());
    put.send().await.context("the file is not taken")?;
    Ok(())
}

async fn receive(session: &Session, args: Receive) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let answer = rest.get(NOTIFICATIONS).send().await;
    let answer = answer.context("cannot receive notifications of files")?;
    if answer.status == 204 {
        return Ok(());
    }
    let etag = answer.header("etag").unwrap_or_default().trim_matches('"').to_owned();
    let count = answer.header("iothub-deliverycount");
    session.output.document(&json!({ "etag": etag, "deliveryCount": count, "notification": answer.body }))?;
    let end = match (args.complete, args.abandon) {
        (true, _) => End::Complete,
        (_, true) => End::Abandon,
        _ => return Ok(()),
    };
    settle(session, &Settle { etag, target: args.target }, end).await
}

async fn settle(session: &Session, args: &Settle, end: End) -> Result<()> {
    super::settle(session, &args.target, (NOTIFICATIONS, &args.etag), end, "the notification").await
}

async fn download(session: &Session, args: Download) -> Result<()> {
    let rest = session.hub(args.target.hub_name.as_deref())?;
    let blob: Vec<_> = args.blob_name.split('/').map(segment).collect();
    let answer = rest.get(&format!("/{OWN}/{}", blob.join("/"))).download().await;
    let mut answer = answer.with_context(|| format!("cannot fetch '{}'", args.blob_name))?;
    let mut out: Box<dyn std::io::Write> = if args.file_path == "-" {
        Box::new(std::io::stdout())
    } else {
        let file = std::fs::File::create(&args.file_path);
        Box::new(file.with_context(|| format!("cannot write '{}'", args.file_path))?)
    };
    while let Some(bytes) = answer.next().await? {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}
