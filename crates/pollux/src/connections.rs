//! `connections.json`: how the commands find the server. It is the server that writes it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use crate::failure::NotThere;

/// The form that is understood here.
const VERSION: u64 = 1;

/// What a server says about itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connections {
    /// The CA's certificate, a PEM file.
    pub(crate) ca: PathBuf,
    /// The operator's API.
    pub(crate) admin: Admin,
    /// Where it listens.
    pub(crate) ports: Ports,
    /// An application that may do everything with every twins instance.
    pub(crate) identity: Identity,
    pub(crate) dps: Vec<Instance>,
    pub(crate) hub: Vec<Instance>,
    pub(crate) events: Vec<Instance>,
    pub(crate) twins: Vec<Instance>,
    pub(crate) functions: Vec<Instance>,
}

/// The operator's API.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Admin {
    pub(crate) url: String,
    pub(crate) key: String,
}

/// Where it listens.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ports {
    pub(crate) https: Vec<u16>,
    #[serde(default)]
    pub(crate) mqtt: Vec<u16>,
    #[serde(default)]
    pub(crate) amqp: Vec<u16>,
}

/// An application's credential at the built-in token issuer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    pub(crate) authority: String,
    pub(crate) tenant_id: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// One instance of a service; fields that its kind does not have are absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) host_name: String,
    /// A DPS's.
    pub(crate) id_scope: Option<String>,
    /// A DPS's, a hub's, a namespace's.
    pub(crate) connection_string: Option<String>,
    /// A hub's: of its built-in endpoint.
    pub(crate) events_connection_string: Option<String>,
    /// A twins instance's, a function app's.
    pub(crate) url: Option<String>,
    /// A function app's: the allocation webhook with its key.
    pub(crate) allocate_url: Option<String>,
}

impl Connections {
    /// Reads the file of a data folder.
    pub(crate) fn read(data_dir: &Path) -> Result<Self> {
        Self::from_value(document(data_dir)?)
    }

    /// Takes a document apart.
    pub(crate) fn from_value(document: Value) -> Result<Self> {
        match document["version"].as_u64() {
            Some(VERSION) => {}
            Some(other) => {
                bail!("connections.json is of version {other}, this program reads version {VERSION}")
            }
            None => bail!("connections.json has no version"),
        }
        serde_json::from_value(document)
            .context("connections.json is damaged; the server writes it anew when it starts")
    }

    /// The text of the CA's certificate.
    pub(crate) fn ca(&self) -> Result<String> {
        let path = &self.ca;
        fs::read_to_string(path)
            .with_context(|| format!("cannot read the CA's certificate '{}'", path.display()))
    }
}

/// The file of a data folder, as it is.
pub(crate) fn document(data_dir: &Path) -> Result<Value> {
    let path = data_dir.join("connections.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message = format!(
                "no server has run in '{}': there is no connections.json. Start one with `pollux serve`, or name its folder with --data-dir",
                data_dir.display()
            );
            return Err(NotThere(message).into());
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("'{}' belongs to another user: run this as the user the server runs as", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read '{}'", path.display())),
    };
    serde_json::from_str(&text).with_context(|| format!("'{}' is not JSON", path.display()))
}

/// The instance of that name or host name; the first when none is named. `kind` is for the message.
pub(crate) fn pick<'a>(kind: &str, all: &'a [Instance], name: Option<&str>) -> Result<&'a Instance> {
    let wanted = |one: &&Instance| {
        name.is_none_or(|name| {
            one.name.eq_ignore_ascii_case(name) || one.host_name.eq_ignore_ascii_case(name)
        })
    };
    all.iter().find(wanted).ok_or_else(|| {
        let there: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
        let there = if there.is_empty() {
            "there is none at all".to_owned()
        } else {
            format!("there are: {}", there.join(", "))
        };
        let what = name.map_or_else(|| format!("no {kind}"), |name| format!("no {kind} '{name}'"));
        NotThere(format!("{what}; {there}")).into()
    })
}
