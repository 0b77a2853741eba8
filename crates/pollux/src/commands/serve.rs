//! `pollux serve`: the server.

use std::path::PathBuf;

use anyhow::Result;
use pollux_server::{Config, Connections};
use tokio_util::sync::CancellationToken;

use crate::cli::Global;

/// Run the server: provisioning, hub, events, twins and functions in one process
///
/// In an empty folder it makes what it needs: keys, a CA, one of each service. The next start finds everything as it
/// was. It ends in order on SIGTERM or Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  pollux serve                                  in ./pollux-data, on ports 443 (where allowed), 8443 and 8883
  pollux serve --data-dir /var/lib/pollux --config /etc/pollux.toml
  POLLUX_LISTEN__HTTPS=9443 pollux serve        any setting, from the environment

With --json the first line of output, printed when it is ready, is the content of connections.json.
Exit codes: 0 ended in order, 2 bad configuration, 3 data folder in use, 4 port in use, 1 anything else.")]
pub(crate) struct Args {
    /// Settings, in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Serves until told to stop.
pub(crate) async fn run(global: &Global, args: Args) -> Result<()> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(data_dir) = &global.data_dir {
        config.server.data_dir.clone_from(data_dir);
    }
    pollux_server::logging::start(&config.log);
    raise_open_files();
    let json = global.json;
    let announce = move |connections: &Connections| match serde_json::to_string(connections) {
        Ok(line) if json => line,
        _ => format!("Pollux is ready.\n{}", connections.human()),
    };
    Ok(pollux_server::run(config, CancellationToken::new(), announce).await?)
}

/// Each connection is an open file, and many systems begin with 1024: take what the administrator allows at most.
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused where the maximum is said to be without bound but is not: then what there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}
