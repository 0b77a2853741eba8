//! What goes wrong, said on standard error, and the exit code it gives.

use std::io::{self, Write as _};
use std::process::ExitCode;

use pollux_client::rest::RestError;
use pollux_server::ServeError;

/// What was named does not exist. Gives exit code 3.
#[derive(Debug)]
pub(crate) struct NotThere(pub(crate) String);

impl std::fmt::Display for NotThere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotThere {}

/// Says what went wrong and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut text = format!("error: {error:#}\n");
    if let Some(RestError::Transport { .. }) = error.downcast_ref::<RestError>() {
        text.push_str("hint: is the server running? Start it with `pollux serve`, on the same --data-dir.\n");
    }
    // When standard error is gone there is nobody left to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code(error))
}

/// The exit code of a failure: 3 when what was named does not exist, else 1; a server that does not start has its own.
fn code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ServeError>() {
        return error.exit_code();
    }
    if error.downcast_ref::<pollux_server::ConfigError>().is_some() {
        return 2;
    }
    let missing = error.downcast_ref::<NotThere>().is_some()
        || error.downcast_ref::<RestError>().and_then(RestError::status) == Some(404);
    if missing { 3 } else { 1 }
}

/// Whoever reads our output has seen enough.
fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
