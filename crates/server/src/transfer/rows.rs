//! The rows of a deployment as an export has them.
//!
//! What belongs to one deployment and not to another is left out: where its events are, how far an import has come. The
//! development CA is among the secrets, wherever it is kept.

use std::sync::Arc;

use pollux_model::{Etag, Timestamp};
use pollux_store::portable::{Row, Table};
use pollux_store::secrets::Secret;
use pollux_store::store::DynStore;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::digest::Content;
use super::error::TransferError;
use super::opened::Opened;
use super::{Progress, Unit, marker};
use crate::data_dir::DataDir;
use crate::error::ServeError;

/// Rows read at once.
const PAGE: usize = 1000;
const CA: (&str, &str) = ("ca", "development");

/// The CA's secret, as `certificates/shared.rs` keeps it.
#[derive(Serialize, Deserialize)]
struct Ca {
    certificate: String,
    key: String,
}

/// Whether a secret stays with its deployment.
pub(super) fn stays(secret: &Secret) -> bool {
    let key = (secret.scope.as_str(), secret.id.as_str());
    key == ("deployment", "events") || key == (marker::SCOPE, marker::ID)
}

/// Whether it is the development CA.
pub(super) fn is_ca(secret: &Secret) -> bool {
    (secret.scope.as_str(), secret.id.as_str()) == CA
}

/// The rows of a table, a page at a time, read while the page before is worked on.
pub(super) fn pages(
    opened: &Opened,
    table: Table,
) -> Result<mpsc::Receiver<Result<Vec<Row>, TransferError>>, TransferError> {
    let ca = if table == Table::Secrets && opened.own_ca { ca_of(&opened.data)? } else { None };
    let store = Arc::clone(opened.store());
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        if let Err(error) = send_pages(&store, table, ca, &sender).await {
            // Nobody listens any more where the export ended early.
            drop(sender.send(Err(error)).await);
        }
    });
    Ok(receiver)
}

async fn send_pages(
    store: &DynStore,
    table: Table,
    ca: Option<Secret>,
    sender: &mpsc::Sender<Result<Vec<Row>, TransferError>>,
) -> Result<(), TransferError> {
    let mut after = None;
    let mut kept = Vec::new();
    loop {
        let page = store.rows(table, after.as_deref(), PAGE).await?;
        after = page.next;
        if table == Table::Secrets {
            // Few, so that they can be put in order.
            kept.extend(page.items);
        } else if sender.send(Ok(page.items.into_iter().map(portable).collect())).await.is_err() {
            return Ok(());
        }
        if after.is_none() {
            break;
        }
    }
    if table == Table::Secrets {
        drop(sender.send(Ok(secrets(kept, ca))).await);
    }
    Ok(())
}

/// The secrets that go along, in the order of their keys. What is in the data folder is what is in use.
fn secrets(rows: Vec<Row>, ca: Option<Secret>) -> Vec<Row> {
    let of_folder = ca.is_some();
    let stored = rows.into_iter().filter_map(|row| match row {
        Row::Secrets { secret } if of_folder && is_ca(&secret) => None,
        Row::Secrets { secret } if !stays(&secret) => Some(*secret),
        _ => None,
    });
    let mut secrets: Vec<Secret> = stored.chain(ca).collect();
    secrets.sort_by(|one, other| (&one.scope, &one.id).cmp(&(&other.scope, &other.id)));
    secrets.into_iter().map(|secret| portable(Row::Secrets { secret: Box::new(secret) })).collect()
}

/// Without what each deployment gives by itself.
fn portable(row: Row) -> Row {
    match row {
        Row::DeadLetters { mut letter, payload } => {
            letter.id = 0;
            Row::DeadLetters { letter, payload }
        }
        Row::Secrets { mut secret } if is_ca(&secret) => {
            (secret.etag, secret.created) = (Etag::new("ca"), Timestamp::from_secs(0));
            Row::Secrets { secret }
        }
        row => row,
    }
}

/// The CA in a data folder.
pub(super) fn ca_of(data: &DataDir) -> Result<Option<Secret>, TransferError> {
    let (certificate, key) = match (data.read("ca.pem")?, data.read("ca.key")?) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, _) => return Ok(None),
        (Some(_), None) => {
            return Err(TransferError::Refused(format!(
                "{} holds ca.pem without ca.key: put it back, or remove ca.pem where a certificate of your own is used",
                data.path().display()
            )));
        }
    };
    let value = serde_json::to_string(&Ca { certificate, key });
    let value = value.map_err(|error| TransferError::Failed(error.to_string()))?;
    let (scope, id) = (CA.0.to_owned(), CA.1.to_owned());
    Ok(Some(Secret { scope, id, value, etag: Etag::new("ca"), created: Timestamp::from_secs(0) }))
}

/// Puts the CA into a data folder that has none.
pub(super) fn put_ca(data: &DataDir, secret: &Secret) -> Result<(), TransferError> {
    let unreadable =
        |_| TransferError::Damaged("the CA in the export is not what this version writes".to_owned());
    let ca: Ca = serde_json::from_str(&secret.value).map_err(unreadable)?;
    if data.read("ca.pem")?.is_some_and(|there| there != ca.certificate) {
        return Err(TransferError::Refused(format!(
            "{} holds another CA: move ca.pem and ca.key out of it, then run the same command again",
            data.path().display()
        )));
    }
    // The key first, as at a first start: a certificate that is there has its key.
    let put = || -> Result<(), ServeError> {
        data.write("ca.key", &ca.key)?;
        data.write("ca.pem", &ca.certificate)
    };
    Ok(put()?)
}

/// A row as a line of an export.
pub(super) fn line(row: &Row) -> Result<Vec<u8>, TransferError> {
    let mut line = serde_json::to_vec(row).map_err(|error| TransferError::Failed(error.to_string()))?;
    line.push(b'\n');
    Ok(line)
}

/// Reads a whole table for its checksum.
pub(super) async fn content(
    opened: &Opened,
    table: Table,
    progress: &dyn Progress,
    expected: u64,
) -> Result<Content, TransferError> {
    progress.begin(&format!("read back {}", table.as_str()), Unit::Rows, expected);
    let mut content = Content::default();
    let mut pages = pages(opened, table)?;
    while let Some(page) = pages.recv().await {
        let page = page?;
        for row in &page {
            content.add(&line(row)?);
        }
        progress.advance(page.len() as u64);
    }
    progress.end();
    Ok(content)
}
