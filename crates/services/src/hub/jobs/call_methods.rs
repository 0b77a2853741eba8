//! Calls a method at a job's devices, each at most once: that it is asked is durable before it is. A device that is not there
//! has until the job's time is over, or as long as the call says.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use pollux_model::device::Device;
use pollux_model::scheduled_job::{DeviceJob, DeviceJobError, DeviceJobStatus, JobWork, MethodOutcome};
use pollux_model::{ResourceName, Timestamp};
use tokio::time::Instant;

use super::pace::{Deaf, RECORD};
use super::run::{Ended, Moves, Run, absent};
use crate::hub::{Hub, MethodAnswer, MethodCall, MethodFailure, MethodInput};

/// Devices that are asked at once.
const AT_ONCE: usize = 64;
/// How soon devices that were not there are looked for again, and how soon at last.
const LOOKS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(8)];
/// The pause is at least so many times as long as the looking before it, where there are very many, and at most this long.
const TIMES: u32 = 5;
const LONGEST: Duration = Duration::from_secs(60);

/// What is asked.
struct Asked {
    call: MethodCall,
    patience: Duration,
    /// How long a device may take to come.
    connect: Option<Duration>,
}

/// One time through the devices whose turn is still to come.
#[derive(Default)]
struct Pass {
    after: Option<String>,
    over: bool,
    /// Some were not there, or had too much to do.
    waiting: bool,
}

/// A device's row, and since when the connection stood on which it is asked.
type Begun = (DeviceJob, Timestamp);
type Answered = (Begun, Result<MethodAnswer, MethodFailure>);

impl Run {
    pub(super) async fn call_methods(&mut self) -> Result<(), Ended> {
        let asked = self.asked()?;
        let hub = Arc::clone(&self.hub);
        let mut news = hub.jobs.news.subscribe();
        // What was said before is in the record.
        self.reload().await?;
        self.give_up_interrupted().await?;
        let (mut open, mut pass, mut pause) = (FuturesUnordered::new(), Pass::default(), LOOKS[0]);
        let mut deaf = Deaf::default();
        let mut begun = Instant::now();
        let mut look = begun + pause;
        let ended = loop {
            if news.has_changed().unwrap_or(false) {
                news.mark_unchanged();
                self.reload().await?;
            }
            if let Err(ended) = self.check() {
                break ended;
            }
            let mut free = None;
            if !pass.over && open.len() <= AT_ONCE / 2 {
                match hub.job_turns(&self.resource, AT_ONCE - open.len()) {
                    Ok(room) => {
                        let there = self.begin(&asked, &mut pass, &deaf, room).await?;
                        let ask = |begun| ask(Arc::clone(&hub), self.resource.name.clone(), begun, &asked);
                        open.extend(there.into_iter().map(ask));
                        let longest = if deaf.many { LONGEST } else { pause };
                        look = Instant::now() + longest.max(begun.elapsed() * TIMES).min(LONGEST);
                        continue;
                    }
                    Err(wait) => free = Some(Instant::now() + wait),
                }
            }
            if open.is_empty() && pass.over && !pass.waiting {
                return Ok(());
            }
            let until = Instant::now() + self.job.deadline().since(self.now()).min(RECORD);
            tokio::select! {
                Some(first) = open.next() => {
                    let mut answers = vec![first];
                    while let Some(Some(next)) = open.next().now_or_never() {
                        answers.push(next);
                    }
                    self.note(answers, &asked, &mut pass, &mut deaf).await?;
                }
                () = tokio::time::sleep_until(free.unwrap_or(until)), if free.is_some() => {}
                () = tokio::time::sleep_until(look), if pass.over && pass.waiting => {
                    pass = Pass::default();
                    begun = Instant::now();
                    pause = (pause * 2).min(LOOKS[1]);
                }
                () = tokio::time::sleep_until(until) => self.reload().await?,
                _ = news.changed() => self.reload().await?,
            }
        };
        self.settle(&ended).await?;
        // Who was asked may still answer.
        while let Some(answer) = open.next().await {
            self.note(vec![answer], &asked, &mut pass, &mut deaf).await?;
        }
        Err(ended)
    }

    fn asked(&self) -> Result<Asked, Ended> {
        let JobWork::DeviceMethod { name, payload, response_timeout, connect_timeout } =
            self.job.work.clone()
        else {
            return Err(Ended::Failed("the job calls no method".to_owned()));
        };
        let input = MethodInput { name, payload: Some(payload), response_timeout, connect_timeout };
        let (call, patience, _) =
            self.hub.checked_call(input).map_err(|error| Ended::Failed(error.message))?;
        Ok(Asked { call, patience, connect: connect_timeout.map(Duration::from_secs) })
    }

    /// Whoever was asked by a node that is gone may have heard it: it is not asked again.
    async fn give_up_interrupted(&mut self) -> Result<(), Ended> {
        loop {
            let rows = self.rows(DeviceJobStatus::Running, None, AT_ONCE).await?.items;
            if rows.is_empty() {
                return Ok(());
            }
            let (mut moves, mut writes) = (Moves::default(), Vec::new());
            for mut row in rows {
                row.error = Some(error(
                    "ServerError",
                    "the service was interrupted: the device may have been asked, and is not asked again",
                ));
                moves.moved.push((row.status, DeviceJobStatus::Failed));
                row.status = DeviceJobStatus::Failed;
                writes.extend(self.put(row, None).await?);
            }
            self.save(&moves, &writes).await?;
        }
    }

    /// Goes on through the devices; gives those that are there and may hear, which are written down as running.
    async fn begin(
        &mut self,
        asked: &Asked,
        pass: &mut Pass,
        deaf: &Deaf,
        room: usize,
    ) -> Result<Vec<Begun>, Ended> {
        let page = self.rows(DeviceJobStatus::Pending, pass.after.as_deref(), room).await?;
        (pass.after, pass.over) = (page.next.clone(), page.next.is_none());
        let found = join_all(page.items.iter().map(|row| self.device(&row.device))).await;
        let found = found.into_iter().collect::<Result<Vec<Option<Device>>, _>>()?;
        let devices: Vec<Device> = found.iter().flatten().cloned().collect();
        let present = self.hub.connections.since_each(&self.resource.name, &devices).await;
        let (mut moves, now) = (Moves { begins: true, ..Moves::default() }, Instant::now());
        let (mut begun, mut writes) = (Vec::new(), Vec::new());
        for (mut row, device) in page.items.into_iter().zip(found) {
            let connected = present.get(&row.device).copied();
            let hears = connected.filter(|connected| !deaf.rests(&row.device, *connected, now));
            if device.is_none() {
                row.error = Some(absent(&row.device));
            } else if let Some(connected) = hears {
                row.start = Some(self.now());
                row.status = DeviceJobStatus::Running;
                begun.push((row.clone(), connected));
            } else if self.is_missed(&row, asked) {
                row.error = Some(not_online());
            } else {
                pass.waiting = true;
                continue;
            }
            if row.error.is_some() {
                row.status = DeviceJobStatus::Failed;
            }
            moves.moved.push((DeviceJobStatus::Pending, row.status));
            writes.extend(self.put(row, device.as_ref()).await?);
        }
        if !writes.is_empty() {
            self.save(&moves, &writes).await?;
        }
        self.acted(begun.len());
        Ok(begun)
    }

    /// Whether a device that is not there, or does not hear, had its time to come.
    fn is_missed(&self, row: &DeviceJob, asked: &Asked) -> bool {
        asked.connect.is_some_and(|connect| row.created.plus(connect) <= self.now())
    }

    /// Writes down what came of the calls. Who has not heard it waits for another turn.
    async fn note(
        &mut self,
        answers: Vec<Answered>,
        asked: &Asked,
        pass: &mut Pass,
        deaf: &mut Deaf,
    ) -> Result<(), Ended> {
        let (mut moves, mut writes) = (Moves::default(), Vec::new());
        for ((mut row, connected), answer) in answers {
            deaf.note(&row.device, connected, &answer);
            match answer {
                Ok(MethodAnswer { status, payload }) => {
                    row.outcome = Some(MethodOutcome { status, payload });
                    row.status = DeviceJobStatus::Completed;
                }
                Err(MethodFailure::NotOnline | MethodFailure::Busy) if !self.is_missed(&row, asked) => {
                    (row.status, row.start) = (DeviceJobStatus::Pending, None);
                    pass.waiting = true;
                }
                Err(failure) => {
                    row.status = DeviceJobStatus::Failed;
                    row.error = Some(match failure {
                        MethodFailure::NotOnline => not_online(),
                        MethodFailure::Gone => {
                            error("DeviceNotOnline", "the connection ended before the device answered")
                        }
                        MethodFailure::TooLarge => {
                            error("RequestEntityTooLarge", "the device answered with more than it may")
                        }
                        MethodFailure::Late => error("GatewayTimeout", "the device did not answer in time"),
                        MethodFailure::Busy => {
                            error("ThrottlingException", "the device has as many methods to answer as it may")
                        }
                    });
                }
            }
            moves.moved.push((DeviceJobStatus::Running, row.status));
            writes.extend(self.put(row, None).await?);
        }
        self.save(&moves, &writes).await.map(drop)
    }
}

async fn ask(hub: Arc<Hub>, name: ResourceName, begun: Begun, asked: &Asked) -> Answered {
    let answer = hub.connections.invoke(&name, &begun.0.device, asked.call.clone(), asked.patience).await;
    (begun, answer)
}

fn not_online() -> DeviceJobError {
    error("DeviceNotOnline", "timed out waiting for the device to connect, or to listen to methods")
}

fn error(code: &str, description: &str) -> DeviceJobError {
    DeviceJobError { code: code.to_owned(), description: description.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Hubs, input, method};
    use super::*;

    /// Of whoever is connected and listens to no methods nothing is written again and again.
    #[tokio::test]
    async fn who_did_not_hear_rests_until_it_connects_anew() {
        let it = Hubs::new(&["d"]).await;
        let (connection, _link) = it.connect("d").await;
        it.add(input("j", "*", method("deaf", None))).await.unwrap();
        let mut run = it.begun("j").await;
        run.begin_job().await.unwrap();
        run.select().await.unwrap();
        let asked = run.asked().unwrap();
        let (mut pass, mut deaf) = (Pass::default(), Deaf::default());
        tokio::time::pause();
        let begun = run.begin(&asked, &mut pass, &deaf, 9).await.unwrap().pop().unwrap();
        let answer = ask(Arc::clone(it.service()), it.hub.name.clone(), begun, &asked).await;
        run.note(vec![answer], &asked, &mut pass, &mut deaf).await.unwrap();
        let written = it.job("j").await.etag;
        let mut again = Pass::default();
        assert!(run.begin(&asked, &mut again, &deaf, 9).await.unwrap().is_empty() && again.waiting);
        assert_eq!(it.job("j").await.etag, written, "nothing is written of one that rests");
        drop(connection);
        it.world.clock.advance(Duration::from_secs(1));
        let _anew = it.connect("d").await;
        assert_eq!(run.begin(&asked, &mut Pass::default(), &deaf, 9).await.unwrap().len(), 1);
    }
}
