//! Instances of services, over the operator's API: what `create`, `list`, `show` and `delete` of every kind share.

use anyhow::{Context as _, Result};
use clap::Args;
use pollux_client::rest::Response;
use pollux_model::resource::ResourceKind;
use serde_json::{Map, Value, json};

use crate::failure::NotThere;
use crate::input::segment;
use crate::output::Column;
use crate::session::Session;

/// What every new instance takes.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name: 3 to 50 lower-case letters, digits and '-'
    #[arg(long, short = 'n')]
    pub(crate) name: String,
    /// The resource group it belongs to and is deleted with [default: default]
    #[arg(long, short = 'g', visible_alias = "resource-group")]
    pub(crate) group: Option<String>,
    /// The host name clients will use [default: made from its name and the server's domain]
    #[arg(long)]
    pub(crate) host_name: Option<String>,
}

/// Which instances to list.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this resource group
    #[arg(long, short = 'g', visible_alias = "resource-group")]
    pub(crate) group: Option<String>,
}

/// Which instance to show.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its name
    #[arg(long, short = 'n')]
    pub(crate) name: String,
    /// Show keys too
    #[arg(long, visible_alias = "keys")]
    pub(crate) show_keys: bool,
}

/// Which instance to delete.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Its name
    #[arg(long, short = 'n')]
    pub(crate) name: String,
}

/// The path of an instance.
pub(crate) fn path(kind: ResourceKind, name: &str) -> String {
    format!("/admin/resources/{kind}/{}", segment(name))
}

/// Makes an instance; `more` is what only its kind has.
pub(crate) async fn create(session: &Session, kind: ResourceKind, args: Create, more: Value) -> Result<()> {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(args.name));
    let optional = [("group", args.group), ("hostName", args.host_name)];
    body.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))));
    if let Value::Object(more) = more {
        body.extend(more);
    }
    let request = session.admin()?;
    let made = request.post(&format!("/admin/resources/{kind}")).json(Value::Object(body)).send().await;
    shown(session, made.with_context(|| format!("cannot create the {kind} '{}'", args.name))?, true)
}

/// Lists the instances of a kind.
pub(crate) async fn list(
    session: &Session,
    kind: ResourceKind,
    args: &List,
    columns: &[Column],
) -> Result<()> {
    let admin = session.admin()?;
    let mut request = admin.get(&format!("/admin/resources/{kind}"));
    if let Some(group) = &args.group {
        request = request.query("group", group);
    }
    let mut rows = values(request.send().await?);
    rows.iter_mut().for_each(hide_keys);
    session.output.rows(rows, columns)
}

/// Shows an instance.
pub(crate) async fn show(session: &Session, kind: ResourceKind, args: &Show) -> Result<()> {
    let found = get(session, kind, &args.name).await?;
    shown(session, found, args.show_keys)
}

/// Deletes an instance with everything in it.
pub(crate) async fn delete(session: &Session, kind: ResourceKind, args: &Delete) -> Result<()> {
    let gone = session.admin()?.delete(&path(kind, &args.name)).send().await;
    gone.with_context(|| format!("cannot delete the {kind} '{}'", args.name))?;
    session.output.note(&format!("deleted the {kind} '{}' and everything in it", args.name))
}

/// An instance, as the operator's API shows it.
pub(crate) async fn get(session: &Session, kind: ResourceKind, name: &str) -> Result<Response> {
    let found = session.admin()?.get(&path(kind, name)).send().await;
    found.with_context(|| format!("cannot show the {kind} '{name}'"))
}

/// Makes or changes a part of an instance (a route, a link) and prints the instance.
pub(crate) async fn put_part(
    session: &Session,
    kind: ResourceKind,
    name: &str,
    part: (&str, &str),
    body: Value,
) -> Result<()> {
    let (list, item) = part;
    let path = format!("{}/{list}/{}", path(kind, name), segment(item));
    let changed = session.admin()?.put(&path).json(body).send().await;
    shown(
        session,
        changed.with_context(|| format!("cannot put '{item}' into {list} of the {kind} '{name}'"))?,
        false,
    )
}

/// Takes a part away from an instance.
pub(crate) async fn delete_part(
    session: &Session,
    kind: ResourceKind,
    name: &str,
    part: (&str, &str),
) -> Result<()> {
    let (list, item) = part;
    let path = format!("{}/{list}/{}", path(kind, name), segment(item));
    let changed = session.admin()?.delete(&path).send().await;
    changed.with_context(|| format!("cannot take '{item}' out of {list} of the {kind} '{name}'"))?;
    session.output.note(&format!("took '{item}' out of {list} of the {kind} '{name}'"))
}

/// Lists the parts of an instance.
pub(crate) async fn list_parts(
    session: &Session,
    (kind, name): (ResourceKind, &str),
    list: &str,
    columns: &[Column],
) -> Result<()> {
    let mut found = get(session, kind, name).await?.body;
    hide_keys(&mut found);
    let rows = found[list].as_array().cloned().unwrap_or_default();
    session.output.rows(rows, columns)
}

/// Shows the part of an instance that bears a name.
pub(crate) async fn show_part(
    session: &Session,
    (kind, name): (ResourceKind, &str),
    (list, item): (&str, &str),
) -> Result<()> {
    let mut found = get(session, kind, name).await?.body;
    hide_keys(&mut found);
    let part = found[list].as_array().and_then(|parts| parts.iter().find(|part| part["name"] == item));
    let Some(part) = part else {
        return Err(NotThere(format!("there is no '{item}' in {list} of the {kind} '{name}'")).into());
    };
    session.output.document(part)
}

/// The rows of an answer.
pub(crate) fn values(mut answer: Response) -> Vec<Value> {
    match answer.body.get_mut("value").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    }
}

/// Prints an instance.
pub(crate) fn shown(session: &Session, mut answer: Response, keys: bool) -> Result<()> {
    if !keys {
        hide_keys(&mut answer.body);
    }
    session.output.document(&answer.body)
}

/// Takes secrets out of an instance: its own keys, and those of its policies.
pub(crate) fn hide_keys(resource: &mut Value) {
    let Some(fields) = resource.as_object_mut() else { return };
    fields.shift_remove("keys");
    for list in ["policies", "eventHubs"] {
        fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().for_each(hide_keys);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_hidden_wherever_they_are() {
        let keys = json!({"primary": "p"});
        let mut hub = json!({"name": "n", "keys": keys, "policies": [{"name": "a", "keys": keys}],
            "eventHubs": [{"name": "e", "policies": [{"name": "b", "keys": keys}]}]});
        hide_keys(&mut hub);
        let clean = json!({"name": "n", "policies": [{"name": "a"}],
            "eventHubs": [{"name": "e", "policies": [{"name": "b"}]}]});
        assert_eq!(hub, clean);
    }
}
