//! `pollux connections`: where the server is and what opens it.

use anyhow::Result;
use serde_json::Value;

use crate::cli::Global;
use crate::connections::document;
use crate::output::Output;

/// Print host names, ports, keys and connection strings of the server
///
/// What is printed is secret: it opens everything the server has.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pollux connections                                  for eyes
  pollux connections --json | jq -r '.dps[0].idScope'
  export NODE_EXTRA_CA_CERTS=$(pollux connections --json | jq -r .ca)")]
pub(crate) struct Args {}

/// Prints the connections of the data folder.
pub(crate) fn run(global: &Global, _: Args) -> Result<()> {
    let document = document(&global.data_dir())?;
    let output = Output::new(global.json);
    if global.json { output.document(&document) } else { output.line(text(&document).trim_end()) }
}

/// The connections as lines.
pub(crate) fn text(connections: &Value) -> String {
    let mut text = String::new();
    let mut line = |title: &str, value: &Value| {
        let value = match value {
            Value::Null => return,
            Value::String(value) => value.clone(),
            Value::Array(ports) => ports.iter().map(Value::to_string).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        text.push_str(&format!("{title:<20} {value}\n"));
    };
    for (protocol, ports) in connections["ports"].as_object().into_iter().flatten() {
        line(&format!("port {protocol}"), ports);
    }
    line("CA certificate", &connections["ca"]);
    line("data", &connections["dataDir"]);
    for kind in ["dps", "hub", "events", "twins", "functions"] {
        for instance in connections[kind].as_array().into_iter().flatten() {
            line(kind, &instance["name"]);
            for (title, field) in [
                ("  group", "group"),
                ("  host name", "hostName"),
                ("  ID scope", "idScope"),
                ("  URL", "url"),
                ("  allocation webhook", "allocateUrl"),
                ("  connection string", "connectionString"),
                ("  built-in endpoint", "eventsConnectionString"),
            ] {
                line(title, &instance[field]);
            }
        }
    }
    for (title, field) in [
        ("token authority", "authority"),
        ("  tenant id", "tenantId"),
        ("  client id", "clientId"),
        ("  client secret", "clientSecret"),
    ] {
        line(title, &connections["identity"][field]);
    }
    line("admin API", &connections["admin"]["url"]);
    line("  key", &connections["admin"]["key"]);
    text
}
