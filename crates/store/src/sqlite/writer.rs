//! The one thread that writes.
//!
//! It takes what is queued, applies each batch in a savepoint of one transaction, commits once, and then answers all.
//! A batch that is refused is rolled back alone. While the disk is busy with one commit, the next group gathers.
//!
//! When a transaction fails as a whole (disk full, I/O error) nothing of it is kept, everyone in it is told
//! `Unavailable`, and the writer goes on: the next group is tried anew. Until one succeeds the store is unhealthy.

use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Notify, mpsc, oneshot};

use super::checkpoint::Checkpointer;
use super::failure::Refusal;
use super::lock::FileLock;
use super::write::apply_all;
use super::{connection, leases, outbox};
use crate::error::{CommitError, StoreError};
use crate::observer::{Observer, Observers};
use crate::prepared::Prepared;

/// How often in a row the writer gives way in vain before it no longer does.
const PATIENCE: u32 = 4;
/// After so many groups it tries again.
const ASK: u32 = 64;

type Answer = Result<(), CommitError>;

/// The writer as the store sees it: a bounded queue. Dropping it finishes what is queued.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
}

/// What the thread tells without being asked.
#[derive(Debug, Default)]
struct State {
    /// Woken after a commit that added to the outbox.
    outbox: Notify,
    /// Why the last transaction failed, if it did.
    failure: Mutex<Option<String>>,
    /// Told of every commit.
    observers: Observers,
}

/// A piece of work and whom to tell.
#[derive(Debug)]
struct Job {
    work: Work,
    answer: oneshot::Sender<Answer>,
}

/// Of leases that were asked for, the epochs.
type Epochs = Arc<Mutex<Vec<Option<i64>>>>;

#[derive(Debug)]
enum Work {
    /// A batch.
    Commit(Prepared),
    /// Outbox rows to forget. Need not be durable: a repeated append is recognized by its key.
    OutboxDone(Vec<i64>),
    /// Leases to take or renew. What came of it is for the asker to read once the answer says that it is committed.
    Lease { owner: String, names: Vec<String>, ttl: Duration, epochs: Epochs },
    /// Leases to give up.
    Release { owner: String, names: Vec<String> },
    /// A durable write without meaning, to see whether one is possible.
    Probe,
}

impl Writer {
    /// Starts the thread. `queue` jobs may wait, `group` are committed together at most.
    pub(super) fn start(
        connection: Connection,
        checkpointer: Checkpointer,
        queue: usize,
        group: usize,
        lock: Arc<FileLock>,
    ) -> io::Result<Self> {
        let (jobs, queued) = mpsc::channel(queue.max(1));
        let state = Arc::new(State::default());
        // What an earlier process left in the outbox is news to whoever waits first.
        state.outbox.notify_one();
        let mut thread = Thread { checkpointer, connection, durable: true, state: Arc::clone(&state) };
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            thread.run(queued, group.max(1));
            // The connection is closed before another process may open the file.
            drop(thread);
            drop(lock);
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), state })
    }

    /// Commits a batch. Dropping the future does not take the batch back.
    pub(super) async fn commit(&self, batch: Prepared) -> Answer {
        self.ask(Work::Commit(batch)).await
    }

    /// Tells of every commit from now on.
    pub(super) fn observe(&self, observer: Weak<dyn Observer>) {
        self.state.observers.add(observer);
    }

    /// Forgets outbox rows.
    pub(super) async fn outbox_done(&self, rows: Vec<i64>) -> Result<(), StoreError> {
        store_only(self.ask(Work::OutboxDone(rows)).await)
    }

    /// Takes or renews leases.
    pub(super) async fn lease(
        &self,
        owner: String,
        names: Vec<String>,
        ttl: Duration,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let epochs = Epochs::default();
        let work = Work::Lease { owner, names, ttl, epochs: Arc::clone(&epochs) };
        store_only(self.ask(work).await)?;
        let epochs = std::mem::take(&mut *epochs.lock());
        Ok(epochs)
    }

    /// Gives leases up.
    pub(super) async fn release(&self, owner: String, names: Vec<String>) -> Result<(), StoreError> {
        store_only(self.ask(Work::Release { owner, names }).await)
    }

    /// Resolves after a commit that added to the outbox. One relay waits at a time.
    pub(super) async fn outbox_changed(&self) {
        self.state.outbox.notified().await;
    }

    /// Whether commits succeed. After a failure this tries one.
    pub(super) async fn healthy(&self) -> Result<(), StoreError> {
        let failed = self.state.failure.lock().is_some();
        if failed {
            return store_only(self.ask(Work::Probe).await);
        }
        if self.jobs.as_ref().is_none_or(mpsc::Sender::is_closed) { Err(stopped()) } else { Ok(()) }
    }

    async fn ask(&self, work: Work) -> Answer {
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Job { work, answer }).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes to the database had panicked");
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the thread that writes to the database has stopped".to_owned())
}

fn refused((index, refusal): (usize, Refusal)) -> CommitError {
    match refusal {
        Refusal::Mismatch(mismatch) => CommitError::Expectation { index, mismatch },
        Refusal::Store(error) => error.into(),
    }
}

fn store_only(answer: Answer) -> Result<(), StoreError> {
    match answer {
        Ok(()) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
        Err(error @ CommitError::Expectation { .. }) => Err(StoreError::Corrupt(error.to_string())),
    }
}

/// The thread's own things.
struct Thread {
    checkpointer: Checkpointer,
    connection: Connection,
    /// Whether the connection is set to durable commits now.
    durable: bool,
    state: Arc<State>,
}

impl Thread {
    fn run(&mut self, mut jobs: mpsc::Receiver<Job>, group: usize) {
        let (mut taken, mut last, mut in_vain) = (Vec::with_capacity(group), 0, 0_u32);
        while jobs.blocking_recv_many(&mut taken, group) > 0 {
            let came = taken.len();
            if came < last || in_vain % ASK < PATIENCE {
                // Those who were answered last may be about to come again, and whoever woke this thread may have more for
                // it; they need this processor for it: together with them it is one sync in place of two.
                std::thread::yield_now();
                while taken.len() < group
                    && let Ok(job) = jobs.try_recv()
                {
                    taken.push(job);
                }
            }
            in_vain = if taken.len() > came { 0 } else { in_vain.wrapping_add(1) };
            last = taken.len();
            self.commit_group(&mut taken);
            self.checkpointer.after_commit(&self.connection);
        }
    }

    /// One transaction over all jobs taken; answers every one of them.
    fn commit_group(&mut self, jobs: &mut Vec<Job>) {
        match self.transaction(jobs) {
            Ok(answers) => {
                *self.state.failure.lock() = None;
                self.tell_observers(jobs, &answers);
                let told = |(job, answer): (&Job, &Answer)| answer.is_ok() && job.work.has_outbox();
                if jobs.iter().zip(&answers).any(told) {
                    self.state.outbox.notify_one();
                }
                for (job, answer) in jobs.drain(..).zip(answers) {
                    job.tell(answer);
                }
            }
            Err(error) => {
                self.roll_back();
                tracing::error!(%error, batches = jobs.len(), "a transaction failed; none of its batches is kept");
                *self.state.failure.lock() = Some(error.to_string());
                for job in jobs.drain(..) {
                    job.tell(Err(error.clone().into()));
                }
            }
        }
    }

    fn tell_observers(&self, jobs: &[Job], answers: &[Answer]) {
        for observer in self.state.observers.all() {
            let done = jobs.iter().zip(answers).filter(|(_, answer)| answer.is_ok());
            let batches = done.filter_map(|(job, _)| match &job.work {
                Work::Commit(batch) => Some(batch),
                _ => None,
            });
            observer.committed(&mut batches.flat_map(|batch| batch.writes.iter().map(|(write, _)| write)));
        }
    }

    fn transaction(&mut self, jobs: &[Job]) -> Result<Vec<Answer>, StoreError> {
        let durable = jobs.iter().any(|job| job.work.must_last());
        if durable != self.durable {
            connection::set_durable(&self.connection, durable)?;
            self.durable = durable;
        }
        self.execute("BEGIN IMMEDIATE")?;
        let answers = jobs.iter().map(|job| self.apply(&job.work)).collect::<Result<_, _>>()?;
        self.execute("COMMIT")?;
        Ok(answers)
    }

    /// Applies one job. The outer error means that the whole transaction is lost.
    fn apply(&self, work: &Work) -> Result<Answer, StoreError> {
        if let Work::Commit(batch) = work
            && batch.first_decides()
        {
            return self.apply_plain(batch);
        }
        self.execute("SAVEPOINT batch")?;
        let applied = match work {
            Work::Commit(batch) => apply_all(batch, &self.connection),
            Work::OutboxDone(rows) => {
                outbox::forget(&self.connection, rows).map_err(|error| (0, error.into()))
            }
            Work::Lease { owner, names, ttl, epochs } => leases::take(&self.connection, owner, names, *ttl)
                .map(|taken| *epochs.lock() = taken)
                .map_err(|error| (0, error.into())),
            Work::Release { owner, names } => {
                leases::release(&self.connection, owner, names).map_err(|error| (0, error.into()))
            }
            Work::Probe => {
                self.execute("UPDATE probe SET count = count + 1").map_err(|error| (0, error.into()))
            }
        };
        let answer = applied.map_err(refused);
        if let Err(CommitError::Store(error)) = &answer
            && self.connection.is_autocommit()
        {
            // SQLite rolls the whole transaction back by itself after some errors (disk full, I/O).
            return Err(error.clone());
        }
        if answer.is_err() {
            self.execute("ROLLBACK TO batch")?;
        }
        self.execute("RELEASE batch")?;
        Ok(answer)
    }

    /// Applies a batch whose first write decides, without a savepoint, for which SQLite copies every page that it changes.
    /// What is written behind the first can only fail together with the whole transaction.
    fn apply_plain(&self, batch: &Prepared) -> Result<Answer, StoreError> {
        match apply_all(batch, &self.connection) {
            Err((0, refusal)) if !self.connection.is_autocommit() => Ok(Err(refused((0, refusal)))),
            Err((_, Refusal::Store(error))) => Err(error),
            Err((_, Refusal::Mismatch(mismatch))) => {
                Err(StoreError::Corrupt(format!("{mismatch:?} where nothing could be refused")))
            }
            Ok(()) => Ok(Ok(())),
        }
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            // The next BEGIN fails, its group is told, and this is tried again.
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

impl Job {
    /// Whoever does not wait any more need not be told.
    fn tell(self, answer: Answer) {
        drop(self.answer.send(answer));
    }
}

impl Work {
    const fn must_last(&self) -> bool {
        match self {
            Self::Commit(_) | Self::Lease { .. } | Self::Release { .. } | Self::Probe => true,
            Self::OutboxDone(_) => false,
        }
    }

    fn has_outbox(&self) -> bool {
        matches!(self, Self::Commit(batch) if batch.has_outbox())
    }
}

#[cfg(test)]
mod tests;
