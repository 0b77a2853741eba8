//! The command line: what can be said before the name of a command, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    admin, connections, demo, device, dps, events, functions, group, hub, serve, twin, twins,
};

const EXAMPLES: &str = "\
Examples:
  pollux serve                       start everything, in ./pollux-data
  pollux demo                        see the whole story with 25 devices
  pollux twin model create --from ./models
                                     upload models
  pollux dps enrollment-group create --enrollment-id line-1 --allocate
                                     let devices in; each gets its twin
  pollux twin show --twin-id thermostat-67
                                     a device's twin
  pollux hub device delete --device-id thermostat-67
                                     retire the device and its twin

Every command explains itself: pollux twin query --help
Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 no such thing.";

/// Provisions devices, connects them, mirrors each in a digital twin, and retires both together.
///
/// Pollux speaks the protocols of Azure IoT Hub Device Provisioning Service, IoT Hub, Event Hubs and Digital Twins.
/// The commands below talk to a server that runs on this machine and find it through its data folder.
#[derive(Debug, Parser)]
#[command(name = "pollux", version, after_help = EXAMPLES, max_term_width = 110, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server's data folder [default: pollux-data]
    #[arg(long, global = true, env = "POLLUX_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON, also where a table would be printed on a terminal
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// The data folder, `./pollux-data` when nobody says otherwise.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("pollux-data"))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: provisioning, hub, events, twins and functions in one process
    Serve(serve::Args),
    /// Run the whole story with simulated devices in a temporary folder, and check every step
    Demo(demo::Args),
    /// Print host names, ports, keys and connection strings of the server
    Connections(connections::Args),
    /// Device provisioning services, enrollments and registration records
    #[command(subcommand)]
    Dps(Box<dps::Command>),
    /// Devices that are played
    #[command(subcommand)]
    Device(device::Command),
    /// IoT hubs, device identities, device twins and routes
    #[command(subcommand)]
    Hub(hub::Command),
    /// Event hubs namespaces and their event hubs
    #[command(subcommand)]
    Events(events::Command),
    /// Digital twins: models, twins, relationships, components, queries
    #[command(subcommand)]
    Twin(twin::Command),
    /// Digital twins instances
    #[command(subcommand)]
    Twins(twins::Command),
    /// Function apps: allocation, telemetry to twin, retirement
    #[command(subcommand)]
    Functions(functions::Command),
    /// Resource groups
    #[command(subcommand)]
    Group(group::Command),
    /// Move a deployment that does not run, whatever it is kept in
    #[command(subcommand)]
    Admin(admin::Command),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn tree(command: &clap::Command, path: &str, lines: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                tree(sub, &path, lines);
            } else {
                lines.push(format!(
                    "{path}: {}",
                    sub.get_about().map(ToString::to_string).unwrap_or_default()
                ));
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        let mut lines = Vec::new();
        tree(&Cli::command(), "pollux", &mut lines);
        assert!(lines.iter().all(|line| !line.ends_with(": ")), "{lines:?}");
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn options_are_azs_own() {
        for line in [
            "pollux dps enrollment-group create --eid a --wh https://x/y --ap custom --ih hub1 hub2 --ps enabled",
            "pollux dps enrollment-group show --enrollment-id a --show-keys -n dps1",
            "pollux dps compute-device-key --key a2V5 --rid d",
            "pollux twin show -n twins1 --twin-id a",
            "pollux twin show --dt-name twins1 -i a --json",
            "pollux twin import a.ndjson b.ndjson -n twins1 --from-line 7 --log failed.ndjson",
            "pollux twin export --dt-name twins1 --overwrite a.ndjson",
            "pollux twin relationship create -r r --relationship contains --twin-id a --target b",
            "pollux device simulate --model a.json --devices 10000 --interval 0.5 --messages 3 --delete -n hub1",
            "pollux device simulate --model-id dtmi:a;1 --eid line-1 --duration 5",
            "pollux hub message-enrichment create -k a -v b --endpoints events other -n hub1",
            "pollux hub device list --hub-name hub1 --data-dir elsewhere",
            "pollux functions settings set --settings A=1 B=2 -n app",
            "pollux dps create -n dps2 -g rg",
            "pollux events hub create -n a --partition-count 8 --retention-time 72",
            "pollux events consumer-group create --eventhub-name a --consumer-group-name g --namespace-name e",
            "pollux events group list --eventhub-name a",
            "pollux hub consumer-group create --hub-name hub1 -n g",
            "pollux hub dead-letter list -n hub1 --endpoint-name elsewhere --top 5",
            "pollux hub update --sku s1 --unit 2 -n hub1",
            "pollux hub show-quota-metrics -n hub1",
            "pollux hub monitor-events -n hub1 -d sim-* --cg g --properties sys app --et 0 --to 5 --mc 3 -o json",
            "pollux hub update --partition-count 8 --consumer-group g --fallback-route false",
            "pollux events authorization-rule create --name p --rights Listen send --eventhub-name a",
            "pollux events policy keys renew --policy-name p --key primary",
            "pollux events policy connection-string --policy-name p --key secondary --json",
            "pollux hub policy create --name p --permissions RegistryRead ServiceConnect -n hub1",
            "pollux dps policy show --policy-name p --show-keys",
            "pollux admin export --to f --events --overwrite --config c.toml --data-dir d",
            "pollux admin import --from f --events --json",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "pollux",
            "pollux demo --devices 0",
            "pollux twin show",
            "pollux dps enrollment-group create --eid a --allocate --webhook-url https://x",
            "pollux dps compute-device-key --rid d",
            "pollux hub device create -d d --primary-key k",
            "pollux functions settings set NOVALUE",
            "pollux twin import",
            "pollux twin import a.ndjson --from-line x",
            "pollux group delete",
            "pollux hub policy create --name p --rights Listen",
            "pollux events policy keys regenerate --name p",
            "pollux events consumer-group create --name g",
            "pollux hub monitor --timeout soon",
            "pollux hub update --sku B1",
            "pollux admin export",
            "pollux admin import --from f --overwrite",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
