//! `pollux functions|hub|twin dead-letter`: events that could not be brought where they belong, kept
//! until they are tried again or forgotten.

use anyhow::{Context as _, Result};
use pollux_model::resource::ResourceKind;

use crate::output::Column;
use crate::resources::{path, values};
use crate::session::Session;

const OF_FUNCTIONS: &[Column] = &[
    ("id", "/id"),
    ("function", "/function"),
    ("event hub", "/eventHub"),
    ("partition", "/partition"),
    ("sequence number", "/sequenceNumber"),
    ("attempts", "/attempts"),
    ("failed", "/failed"),
    ("reason", "/reason"),
];
const OF_ENDPOINTS: &[Column] = &[
    ("id", "/id"),
    ("endpoint", "/endpoint"),
    ("partition", "/partition"),
    ("sequence number", "/sequenceNumber"),
    ("attempts", "/attempts"),
    ("failed", "/failed"),
    ("reason", "/reason"),
];

/// What is done with them.
#[derive(Debug)]
pub(crate) enum Deed<'a> {
    /// At most so many, of this function or endpoint.
    List {
        of: Option<&'a str>,
        top: usize,
    },
    Show(i64),
    Replay(i64),
    Delete(i64),
}

/// Does it to the dead letters of a function app, a hub or a digital twins instance.
pub(crate) async fn run(session: &Session, kind: ResourceKind, name: &str, deed: Deed<'_>) -> Result<()> {
    let (admin, output) = (session.admin()?, &session.output);
    let base = format!("{}/dead-letters", path(kind, name));
    let one = |id: i64| format!("{base}/{id}");
    let (filter, columns) = match kind {
        ResourceKind::Functions => ("function", OF_FUNCTIONS),
        _ => ("endpoint", OF_ENDPOINTS),
    };
    match deed {
        Deed::List { of, top } => {
            let mut request = admin.get(&base).query("limit", &top.to_string());
            if let Some(of) = of {
                request = request.query(filter, of);
            }
            output.rows(values(request.send().await.context("cannot list the dead letters")?), columns)
        }
        Deed::Show(id) => {
            let found = admin.get(&one(id)).send().await;
            output.document(&found.with_context(|| format!("cannot show the dead letter {id}"))?.body)
        }
        Deed::Replay(id) => {
            let replayed = admin.post(&format!("{}/replay", one(id))).send().await;
            replayed.with_context(|| format!("the dead letter {id} failed again"))?;
            output.note(&format!("replayed the dead letter {id}; it took effect and is forgotten"))
        }
        Deed::Delete(id) => {
            let gone = admin.delete(&one(id)).send().await;
            gone.with_context(|| format!("cannot delete the dead letter {id}"))?;
            output.note(&format!("forgot the dead letter {id}"))
        }
    }
}
