//! NATS with JetStream on a folder of its own, with a user and a password.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::process::{Process, Ready};
use super::{Place, empty_folder, failed, program, wrapped};

const READY: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(10);
const USER: &str = "pollux";
const PASSWORD: &str = "events-of-a-test";

/// A running `nats-server`.
#[derive(Debug)]
pub struct Nats {
    /// Its process.
    pub process: Process,
    folder: PathBuf,
    place: Place,
}

impl Nats {
    /// Starts one on 127.0.0.1 with an empty store below `folder`; ready when this returns.
    pub fn start(folder: &Path, port: u16) -> io::Result<Self> {
        Self::start_at(folder, Place::here(port))
    }

    /// Starts one somewhere else.
    pub fn start_at(folder: &Path, place: Place) -> io::Result<Self> {
        empty_folder(folder)?;
        let config = folder.join("nats.conf");
        std::fs::write(&config, text(folder, &place)).map_err(|error| failed(config.display(), error))?;
        Ok(Self { process: spawn(folder, &place)?, folder: folder.to_owned(), place })
    }

    /// Where a node reaches it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{USER}:{PASSWORD}@{}:{}", self.place.address, self.place.port)
    }

    /// How many streams it keeps.
    #[must_use]
    pub fn streams(&self) -> usize {
        std::fs::read_dir(self.folder.join("store/jetstream/$G/streams")).into_iter().flatten().count()
    }

    /// Stops it in order; [`Nats::resume`] starts it again on the same store.
    pub fn pause(&mut self) -> io::Result<()> {
        self.process.stop("TERM", STOP).map(drop)
    }

    /// Starts it again on what it had kept; whatever still ran is killed first.
    pub fn resume(&mut self) -> io::Result<()> {
        self.process.kill();
        self.process = spawn(&self.folder, &self.place)?;
        Ok(())
    }
}

fn spawn(folder: &Path, place: &Place) -> io::Result<Process> {
    let mut command = wrapped(&place.wrapper, &program("nats-server")?);
    command.arg("--config").arg(folder.join("nats.conf"));
    let ready = Ready::Says("Server is ready".to_owned());
    let mut process = Process::spawn("nats-server", command, &log(folder), ready)?;
    process.wait_ready(READY).map_err(|error| failed(log(folder).display(), error))?;
    Ok(process)
}

/// Beside the folder: the log stays when the store is thrown away.
fn log(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

fn text(folder: &Path, place: &Place) -> String {
    let Place { address, port, .. } = place;
    format!(
        "listen: \"{address}:{port}\"\n\
         authorization {{ user: \"{USER}\", password: \"{PASSWORD}\" }}\n\
         max_payload: 4MB\n\
         jetstream {{ store_dir: \"{}\", max_memory_store: 64MB, max_file_store: 4GB }}\n",
        folder.join("store").display()
    )
}
