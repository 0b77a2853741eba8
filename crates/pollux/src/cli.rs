//! The command line: what can be said before the name of a command, and the commands.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{connections, demo, dps, events, functions, group, hub, serve, twin, twins};

const EXAMPLES: &str = "\
Examples:
  pollux serve                                     start everything, in ./pollux-data
  pollux demo                                      see the whole story with 25 devices, then clean up
  pollux twin model create --from ./models         upload models
  pollux dps enrollment-group create --enrollment-id line-1 --allocate
                                                   let devices in; each gets its twin
  pollux twin show --twin-id thermostat-67         a device's twin
  pollux hub device delete --device-id thermostat-67
                                                   retire the device; its twin goes with it

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
    Dps(dps::Command),
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
}
