//! The faults: what is done to the deployment, for how long, and how it is undone.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::network::{self, Host, Loss};
use crate::target::Targets;
use crate::world::{NODES, World};

/// How long a node that was started may take until it is ready.
const READY: Duration = Duration::from_secs(30);

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// `kill -9` of a node; started again
    KillNode,
    /// One node does not hear PostgreSQL's answers
    CutPostgres,
    /// One node does not hear NATS' answers
    CutNats,
    /// Nothing goes between one node and both backends
    CutBoth,
    /// PostgreSQL stops in order and starts again
    RestartPostgres,
    /// `kill -9` of all of PostgreSQL; started again
    KillPostgres,
    /// `kill -9` of NATS; started again
    KillNats,
    /// SIGTERM to one node after the other; each started again
    Rolling,
    /// SIGSTOP of a node for longer than its leases last; SIGCONT
    FreezeNode,
}

/// All of them, in the order in which they are made.
pub(crate) const ALL: [Fault; 9] = [
    Fault::KillNode,
    Fault::CutPostgres,
    Fault::CutNats,
    Fault::CutBoth,
    Fault::RestartPostgres,
    Fault::KillPostgres,
    Fault::KillNats,
    Fault::Rolling,
    Fault::FreezeNode,
];

/// What is to be seen of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// One node.
    Node,
    /// All nodes.
    All,
}

impl Fault {
    pub(crate) fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it is, for a list.
    pub(crate) fn help(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.and_then(|value| Some(value.get_help()?.to_string())).unwrap_or_default()
    }

    pub(crate) const fn scope(self) -> Scope {
        match self {
            Self::KillNode | Self::CutPostgres | Self::CutNats | Self::CutBoth | Self::FreezeNode => {
                Scope::Node
            }
            Self::RestartPostgres | Self::KillPostgres | Self::KillNats | Self::Rolling => Scope::All,
        }
    }

    /// How long it lasts, when faults of a node last so long: a backend that is away stops everything, a node that is away
    /// must outlast its leases.
    pub(crate) fn lasts(self, seconds: Duration) -> Duration {
        match self.scope() {
            Scope::Node => seconds,
            Scope::All if self == Self::Rolling => Duration::ZERO,
            Scope::All => seconds / 3,
        }
    }

    /// What the affected nodes must name as missing while it lasts.
    pub(crate) const fn is_told(self) -> bool {
        match self {
            Self::CutPostgres | Self::CutNats | Self::CutBoth => true,
            Self::RestartPostgres | Self::KillPostgres | Self::KillNats => true,
            Self::KillNode | Self::Rolling | Self::FreezeNode => false,
        }
    }

    /// Whether the state is away from the affected nodes while it lasts.
    pub(crate) const fn takes_state(self) -> bool {
        matches!(self, Self::CutPostgres | Self::CutBoth | Self::RestartPostgres | Self::KillPostgres)
    }

    fn cuts(self) -> (&'static [fn() -> Host], Loss) {
        match self {
            Self::CutPostgres => (&[Host::postgres], Loss::Answers),
            Self::CutNats => (&[Host::nats], Loss::Answers),
            Self::CutBoth => (&[Host::postgres, Host::nats], Loss::Everything),
            _ => (&[], Loss::Answers),
        }
    }

    /// Begins it; `victim` is the node it is about, where it is about one.
    pub(crate) async fn begin(self, world: &mut World, targets: &Targets, victim: usize) -> Result<()> {
        match self {
            Self::KillNode => world.kill(victim),
            Self::CutPostgres | Self::CutNats | Self::CutBoth => {
                let (backends, loss) = self.cuts();
                for backend in backends {
                    network::cut(&Host::node(victim), &backend(), loss)?;
                }
            }
            Self::RestartPostgres => block_in_place(|| world.postgres.pause())?,
            Self::KillPostgres => block_in_place(|| world.postgres.crash())?,
            Self::KillNats => world.nats.process.kill(),
            Self::Rolling => {
                for index in 0..NODES {
                    block_in_place(|| world.stop(index)).with_context(|| format!("node {}", index + 1))?;
                    block_in_place(|| world.resume(index))?;
                    until_ready(targets, index).await?;
                }
            }
            Self::FreezeNode => world.node(victim)?.process.signal("STOP")?,
        }
        Ok(())
    }

    /// Undoes it.
    pub(crate) fn end(self, world: &mut World, victim: usize) -> Result<()> {
        match self {
            Self::KillNode => block_in_place(|| world.resume(victim))?,
            Self::CutPostgres | Self::CutNats | Self::CutBoth => {
                let (backends, loss) = self.cuts();
                for backend in backends {
                    network::mend(&Host::node(victim), &backend(), loss)?;
                }
            }
            Self::RestartPostgres | Self::KillPostgres => block_in_place(|| world.postgres.resume())?,
            Self::KillNats => block_in_place(|| world.nats.resume())?,
            Self::Rolling => {}
            Self::FreezeNode => world.node(victim)?.process.signal("CONT")?,
        }
        Ok(())
    }
}

async fn until_ready(targets: &Targets, index: usize) -> Result<()> {
    let deadline = Instant::now() + READY;
    while !targets.is_ready(index) {
        if Instant::now() > deadline {
            bail!(
                "node {} was not ready {} s after its start: {}",
                index + 1,
                READY.as_secs(),
                targets.all[index].says().await
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
