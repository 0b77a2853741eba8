//! `pollux events consumer-group` and `pollux hub consumer-group`: the consumer groups of an event hub, or of a hub's
//! built-in endpoint.

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::failure::NotThere;
use crate::input::segment;
use crate::output::Column;
use crate::resources::values;
use crate::session::Session;

const COLUMNS: &[Column] = &[("name", "/name")];

/// What is done with them.
#[derive(Debug)]
pub(crate) enum Deed<'a> {
    Create(&'a str),
    List,
    Show(&'a str),
    Delete(&'a str),
}

/// Does it to the consumer groups of `of` (an event hub, or a resource with one), which is for people: `event_hub`.
pub(crate) async fn run(session: &Session, of: &str, event_hub: &str, deed: Deed<'_>) -> Result<()> {
    let (admin, output) = (session.admin()?, &session.output);
    let all = format!("{of}/consumer-groups");
    let one = |name: &str| format!("{all}/{}", segment(name));
    match deed {
        Deed::Create(name) => {
            let made = admin.put(&one(name)).json(json!({})).send().await;
            made.with_context(|| format!("cannot make the consumer group '{name}'"))?;
            output.document(&json!({ "name": name, "eventHub": event_hub }))
        }
        Deed::List | Deed::Show(_) => {
            let found = admin.get(&all).send().await;
            let found = found.with_context(|| format!("cannot list the consumer groups of '{event_hub}'"))?;
            let groups = values(found);
            let Deed::Show(name) = deed else { return output.rows(groups, COLUMNS) };
            match groups.iter().find(|group| group["name"] == name) {
                Some(group) => output.document(&json!({ "name": group["name"], "eventHub": event_hub })),
                None => Err(NotThere(format!("'{event_hub}' has no consumer group '{name}'")).into()),
            }
        }
        Deed::Delete(name) => {
            let gone = admin.delete(&one(name)).send().await;
            gone.with_context(|| format!("cannot delete the consumer group '{name}'"))?;
            output.note(&format!("deleted the consumer group '{name}'"))
        }
    }
}
