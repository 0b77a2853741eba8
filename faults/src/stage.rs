//! One fault after the other: begin it under load, end it, measure until everything is well again, pause the load, check.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use pollux_client::device::{ConnectError, RefusalCode};
use tokio::task::{JoinHandle, block_in_place};
use tokio::time::{Instant, sleep};

use crate::check::{self, Subject};
use crate::events::{End, Events};
use crate::fault::{Fault, Scope};
use crate::ledger::{Ledger, Life};
use crate::load::{Load, Phase, device, prepare, service};
use crate::network::Host;
use crate::report::{Tally, acknowledged, say, seconds};
use crate::target::Targets;
use crate::watch::Watch;
use crate::world::{NODES, World, beside};

/// How long the deployment may take to be ready, connected and caught up after a fault.
const RECOVERY: Duration = Duration::from_secs(40);
/// How long the load takes to stand still.
const PAUSE: Duration = Duration::from_secs(30);
/// The load alone, before a fault and after it.
const CALM: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);
/// A lease for the ingest function has this in its name.
const INGEST: &str = "/ingest/";
/// Into a fault, so that every partition has something that came after its beginning.
const AHEAD: Duration = Duration::from_secs(1);

/// The deployment with its load and all that watches it.
#[derive(Debug)]
pub(crate) struct Stage {
    world: World,
    load: Arc<Load>,
    events: Arc<Events>,
    watch: Arc<Watch>,
    seconds: Duration,
    round: u32,
}

/// How long things took, counted from the fault's end unless said otherwise.
#[derive(Debug, Default)]
struct Recovery {
    /// The longest time without any PUBACK, since the fault's beginning.
    pause: Duration,
    /// From the fault's beginning until the ingest function had dealt with what was there then.
    moved: Option<Duration>,
    /// Until all nodes were ready.
    ready: Option<Duration>,
    /// Until the affected part acknowledged a message.
    first: Option<Duration>,
    /// Until all devices were connected.
    connected: Option<Duration>,
    /// Until the ingest function had dealt with what was there at the end of the fault.
    followed: Option<Duration>,
}

impl Stage {
    /// Starts the deployment, registers the devices, connects them.
    pub(crate) async fn set(devices: usize, pace: Duration, seconds: Duration, seed: u64) -> Result<Self> {
        let begun = Instant::now();
        let world = block_in_place(|| World::start(&beside("faults-run")?))?;
        let targets = Arc::new(Targets::new(&world.connections)?);
        tokio::spawn(Arc::clone(&targets).watch());
        until(RECOVERY, || targets.all_ready()).await.context("the nodes are not ready")?;
        let ready = begun.elapsed();
        let events = Arc::new(Events::open(&world.nats.url()).await?);
        tokio::spawn(Arc::clone(&events).follow());
        let key = prepare::group(&targets).await?;
        let ledger = Ledger::new(prepare::devices(devices, &key), NODES);
        let load = Arc::new(Load::new(ledger, targets, key, pace, seed));
        prepare::register(&load).await;
        let registered = begun.elapsed();
        for device in &load.ledger.devices {
            tokio::spawn(device::run(Arc::clone(&load), Arc::clone(device)));
        }
        if until(RECOVERY, || load.ledger.astray().0.is_empty()).await.is_none() {
            bail!("{} devices do not connect", load.ledger.astray().0.len());
        }
        service::start(&load);
        let watch = Arc::new(Watch::default());
        tokio::spawn(Arc::clone(&watch).tables(world.postgres.url()));
        tokio::spawn(Arc::clone(&watch).twins(Arc::clone(&load)));
        if until(RECOVERY, || watch.look().at.is_some()).await.is_none() {
            bail!("the tables cannot be looked at");
        }
        say(&format!(
            "ready after {}, registered after {}, connected after {}",
            seconds_of(ready),
            seconds_of(registered),
            seconds_of(begun.elapsed())
        ))?;
        Ok(Self { world, load, events, watch, seconds, round: 0 })
    }

    /// One fault with its checks. An error is something wrong with the machine or the test.
    pub(crate) async fn play(&mut self, fault: Fault, tally: &mut Tally) -> Result<()> {
        sleep(CALM).await;
        let victim = self.victim()?;
        let about =
            if fault.scope() == Scope::Node { format!(" (node-{})", victim + 1) } else { String::new() };
        say(&format!("{}{about}: {}", fault.name(), fault.help()))?;
        let before = self.load.ledger.counted();
        let mut recovery = Recovery::default();
        let ended = self.hold(fault, victim, &mut recovery, tally).await?;
        self.recover(fault, victim, ended, &mut recovery, tally).await?;
        let counted = self.load.ledger.counted().since(before);
        let settled = self.pause().await;
        say(&format!("  {}", acknowledged(counted)))?;
        say(&format!("  {}", recovery.text()))?;
        let cuts = self.load.ledger.take_cuts();
        if let Some(longest) = cuts.iter().max() {
            say(&format!(
                "  {} deleted or disabled devices were cut off, after {} at most",
                cuts.len(),
                seconds_of(*longest)
            ))?;
        }
        tally.case(
            "every device is connected once, nobody else, nothing is left without an answer",
            settled,
        )?;
        let processes = self.world.processes();
        let subject =
            Subject { load: &self.load, events: &self.events, watch: &self.watch, processes: &processes };
        for (name, outcome) in check::all(subject).await {
            tally.case(name, outcome)?;
        }
        self.load.set_phase(Phase::Running);
        Ok(())
    }

    /// A node that does something for the others: by chance one of those that work on telemetry.
    fn victim(&self) -> Result<usize> {
        let look = self.watch.look();
        let owners = look.leases.iter().filter(|(name, held)| held.running && name.contains(INGEST));
        let owners: Vec<&str> = owners.filter_map(|(_, held)| held.owner.as_deref()).collect();
        let working =
            (0..NODES).filter(|index| owners.iter().any(|owner| owner.starts_with(&Host::node(*index).name)));
        let working: Vec<usize> = working.collect();
        let chosen = usize::try_from(self.load.below(working.len() as u64))?;
        working.get(chosen).copied().context("no node holds a lease for the ingest function")
    }

    /// The fault, from its beginning to its end; when it began to be undone.
    async fn hold(
        &mut self,
        fault: Fault,
        victim: usize,
        recovery: &mut Recovery,
        tally: &mut Tally,
    ) -> Result<Instant> {
        self.load.ledger.mark();
        let begun = Instant::now();
        let beginning = fault.begin(&mut self.world, &self.load.targets, victim).await;
        if fault == Fault::Rolling {
            let outcome =
                beginning.map(|()| seconds_of(begun.elapsed())).map_err(|error| format!("{error:#}"));
            tally.case("each node stops in order and is ready again", outcome)?;
        } else {
            beginning?;
        }
        let moved = self.dealt_with(begun, AHEAD);
        sleep(fault.lasts(self.seconds)).await;
        if fault.is_told() {
            let says = self.load.targets.all[victim].says().await;
            let outcome = if says.starts_with("503") { Ok(says) } else { Err(says) };
            tally.case("the node says that it is not ready", outcome)?;
        }
        if fault.takes_state() {
            tally.case(
                "it refuses what it cannot do: 503, and no device is let in",
                self.refuses(victim).await,
            )?;
        }
        recovery.moved = if moved.is_finished() { moved.await? } else { None };
        if fault.scope() == Scope::Node {
            let outcome = recovery.moved.map(seconds_of).ok_or_else(|| "not while it lasts".to_owned());
            tally.case("the functions go on, on other nodes if need be", outcome)?;
        }
        recovery.pause = self.load.ledger.longest_pause();
        self.load.ledger.mark();
        let ended = Instant::now();
        fault.end(&mut self.world, victim)?;
        Ok(ended)
    }

    /// What a node that misses its state answers, and how soon.
    async fn refuses(&self, node: usize) -> Result<String, String> {
        let device = self.load.ledger.devices.last().ok_or("there is no device")?;
        let (begun, path) = (Instant::now(), format!("/devices/{}", device.id));
        match self.load.targets.all[node].hub.get(&path).send().await {
            Err(error) if error.status() == Some(503) => {}
            Err(error) => return Err(format!("a device was asked for: {error}")),
            Ok(_) => return Err("a device was asked for, and there was an answer".to_owned()),
        }
        let answered = seconds_of(begun.elapsed());
        let begun = Instant::now();
        match device::knock(&self.load, device, node).await {
            Err(ConnectError::Refused(code)) if code != RefusalCode::Unavailable => {
                Err(format!("CONNACK: {code}"))
            }
            Err(error) => Ok(format!("503 after {answered}; {error} after {}", seconds_of(begun.elapsed()))),
            Ok(()) => Err("a device was let in".to_owned()),
        }
    }

    /// Until all is well.
    async fn recover(
        &mut self,
        fault: Fault,
        victim: usize,
        ended: Instant,
        recovery: &mut Recovery,
        tally: &mut Tally,
    ) -> Result<()> {
        let (load, ledger) = (&self.load, &self.load.ledger);
        let followed = self.dealt_with(ended, Duration::ZERO);
        let left = || RECOVERY.saturating_sub(ended.elapsed());
        let since_end = |took: Option<Duration>| took.map(|_| ended.elapsed());
        recovery.ready = since_end(until(left(), || load.targets.all_ready()).await);
        let outcome = recovery.ready.map(seconds_of);
        let outcome = match outcome {
            Some(took) => Ok(took),
            None => Err(self.not_ready().await),
        };
        tally.case("all nodes are ready again", outcome)?;
        self.spread();
        recovery.connected = since_end(until(left(), || ledger.astray().0.is_empty()).await);
        let missing = ledger.astray().0.len();
        let outcome = recovery.connected.map(seconds_of).ok_or_else(|| format!("{missing} devices are not"));
        tally.case("all devices are connected again", outcome)?;
        let first = || match fault.scope() {
            Scope::Node => ledger.first_of(victim),
            Scope::All => ledger.first_of_all(),
        };
        until(left(), || first().is_some()).await;
        recovery.first = first();
        let outcome = recovery.first.map(seconds_of).ok_or_else(|| "not in time".to_owned());
        tally.case("the affected part acknowledges messages again", outcome)?;
        recovery.followed = followed.await?;
        let outcome = recovery.followed.map(seconds_of).ok_or_else(|| "not in time".to_owned());
        tally.case("the functions have caught up", outcome)?;
        sleep(CALM).await;
        recovery.pause = recovery.pause.max(ledger.longest_pause());
        Ok(())
    }

    async fn not_ready(&self) -> String {
        let mut said = Vec::new();
        for (index, target) in self.load.targets.all.iter().enumerate() {
            said.push(format!("node-{}: {}", index + 1, target.says().await));
        }
        said.join("; ")
    }

    /// How long since `begun` until the ingest function has dealt with what was in the log `ahead` after it.
    fn dealt_with(&self, begun: Instant, ahead: Duration) -> JoinHandle<Option<Duration>> {
        let (events, watch) = (Arc::clone(&self.events), Arc::clone(&self.watch));
        tokio::spawn(async move {
            sleep(ahead).await;
            let mut ends: Option<Vec<End>> = None;
            while begun.elapsed() < RECOVERY {
                match &ends {
                    None => ends = events.ends().await.ok(),
                    Some(ends) if watch.look().has_reached(ends) => return Some(begun.elapsed()),
                    Some(_) => {}
                }
                sleep(LOOK).await;
            }
            None
        })
    }

    /// Lets devices move to nodes that have few of them, as time does in a deployment.
    fn spread(&self) {
        let ledger = &self.load.ledger;
        let connected = ledger.connected(NODES);
        let fair = connected.iter().sum::<usize>() / NODES;
        let mut wanted: Vec<usize> = connected.iter().map(|count| fair.saturating_sub(*count)).collect();
        let mut spare: Vec<usize> = connected.iter().map(|count| count.saturating_sub(fair)).collect();
        for device in &ledger.devices {
            let mut state = device.state.lock();
            let (Some(from), Life::Alive) = (state.connected, state.life) else { continue };
            let to = wanted.iter().position(|count| *count > 0);
            if let Some(to) = to
                && spare[from] > 0
            {
                (wanted[to], spare[from]) = (wanted[to] - 1, spare[from] - 1);
                state.move_to = Some(to);
                device.wake.notify_one();
            }
        }
    }

    /// Lets the load come to a stand.
    async fn pause(&mut self) -> Result<String, String> {
        self.round += 1;
        self.load.set_phase(Phase::Pausing(self.round));
        let took = until(PAUSE, || self.load.unsettled(self.round).is_none()).await;
        took.map(|took| format!("after {}", seconds_of(took)))
            .ok_or_else(|| self.load.unsettled(self.round).unwrap_or_default())
    }

    /// Ends the deployment in order.
    pub(crate) fn strike(mut self, tally: &mut Tally) -> Result<()> {
        say("the end")?;
        let panics = self.world.panics();
        let outcome = if panics.is_empty() { Ok(String::new()) } else { Err(panics.join("; ")) };
        tally.case("no node panicked", outcome)?;
        let stopped = block_in_place(|| (0..NODES).try_for_each(|index| self.world.stop(index)));
        tally.case(
            "the nodes stop in order",
            stopped.map(|()| String::new()).map_err(|error| format!("{error:#}")),
        )
    }
}

impl Recovery {
    fn text(&self) -> String {
        format!(
            "longest time without a PUBACK {}; from the fault's beginning: functions went on {}; from its end: ready {}, \
             affected part acknowledges {}, all connected {}, functions caught up {}",
            seconds_of(self.pause),
            seconds(self.moved),
            seconds(self.ready),
            seconds(self.first),
            seconds(self.connected),
            seconds(self.followed),
        )
    }
}

fn seconds_of(duration: Duration) -> String {
    seconds(Some(duration))
}

/// Waits until it holds; how long that took, `None` when it did not in time.
async fn until(limit: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > limit {
            return None;
        }
        sleep(LOOK).await;
    }
    Some(begun.elapsed())
}
