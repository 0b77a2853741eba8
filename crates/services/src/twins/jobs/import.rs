//! The work of an import job.
//!
//! ```text
//!   input ──▶ lines ──▶ blocks ──▶ read_block, several at once ──▶ apply: items and how far it came, one commit a block
//! ```
//!
//! What is between the stages is bounded. A section begins when the one before is written: a twin needs its model, a
//! relationship its twins.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pollux_model::job::{Job, JobError, JobStatus, Section};
use pollux_model::resource::Setting;
use pollux_model::{Error, Result};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::job_error;
use super::log::{Log, code_of};
use super::work::{Ended, Work};
use crate::blobs::{BlobError, Input, Location};
use crate::twins::graph_file::{Applied, Block, Lines, Models, NotApplied, Place, Ready, longest};

/// Blocks that are read while one is written.
const AHEAD: usize = 3;
/// Blocks that wait to be read.
const WAITING: usize = 2;
/// How often an input that broke off is opened again without having come further.
const ATTEMPTS: u32 = 5;
/// The pause before.
const PAUSE: Duration = Duration::from_secs(2);

const INPUT: &str = "InputBlobNotReadable";
const OUTPUT: &str = "OutputBlobNotWritable";

/// What the input gives.
type Given = Result<Block, Broken>;

/// Why it gives no more.
#[derive(Debug)]
enum Broken {
    Blob(BlobError),
    Malformed(Error),
}

/// A block that is being read, and its section.
type Reading = (Section, JoinHandle<Result<Ready>>);

impl Work {
    pub(super) async fn import(&mut self) -> Result<(), Ended> {
        let twins = Arc::clone(&self.twins);
        let input = self.location(self.job.input.as_ref(), INPUT)?;
        let output = self.location(self.job.output.as_ref(), OUTPUT)?;
        let goes_on = self.job.status != JobStatus::NotStarted;
        let output = twins.jobs.blobs.begin_log(&output, goes_on).await.map_err(no(OUTPUT))?;
        let mut log = Log::new(output, self.job.id.clone());
        let status = if goes_on { "Resumed" } else { "Started" };
        log.info(twins.context.clock.now(), json!({ "status": status }));
        log.flush(&twins).await.map_err(no(OUTPUT))?;
        self.log = Some(log);
        if !goes_on {
            let next = Job { status: JobStatus::Running, ..self.moved() };
            self.save(next, Vec::new()).await?;
        }
        let mut attempts = 0;
        loop {
            let before = self.job.progress.offset;
            let broken = match self.import_from(&input).await? {
                None => return Ok(()),
                Some(broken) => broken,
            };
            attempts = if self.job.progress.offset > before { 1 } else { attempts + 1 };
            match broken {
                Broken::Blob(BlobError::Away(why)) if attempts < ATTEMPTS => {
                    tracing::info!(job = %self.job.id, why, "the input broke off; it is opened again");
                    tokio::time::sleep(PAUSE).await;
                }
                Broken::Blob(error) => return Err(Ended::Failed(job_error(error, INPUT))),
                Broken::Malformed(error) => return Err(failed(&error)),
            }
        }
    }

    fn location(&self, url: Option<&Setting>, code: &str) -> Result<Location, Ended> {
        let none = Setting(String::new());
        // The operator may have changed what jobs may reach since it was added.
        let read = Location::read("The URL", url.unwrap_or(&none), self.twins.jobs.blobs.reach());
        read.map_err(|error| Ended::Failed(job_error(error, code)))
    }

    /// Imports what is behind the last place; gives why the input broke off, or nothing at its end.
    async fn import_from(&mut self, input: &Location) -> Result<Option<Broken>, Ended> {
        let twins = Arc::clone(&self.twins);
        let progress = &self.job.progress;
        let place = Place { section: progress.section, offset: progress.offset, line: progress.line };
        let etag = progress.input_etag.as_deref();
        let opened = match twins.jobs.blobs.open(input, place.offset, etag).await {
            Ok(opened) => opened,
            Err(error) => return Ok(Some(Broken::Blob(error))),
        };
        if let Some(etag) = &opened.etag {
            self.job.progress.input_etag = Some(etag.clone());
        }
        let (sender, mut blocks) = mpsc::channel(WAITING);
        let limits = &twins.context.limits;
        let lines = Lines::from(place, longest(limits));
        tokio::spawn(give(opened, lines, limits.job_input, sender));
        let mut section = place.section;
        let (mut ahead, mut models) = (VecDeque::<Reading>::new(), Models::default());
        let mut models_end = place;
        while let Some(given) = blocks.recv().await {
            let block = match given {
                Ok(block) => block,
                Err(broken) => {
                    self.write_all(&mut ahead, 0).await?;
                    return Ok(Some(broken));
                }
            };
            if section != Some(block.section) {
                self.write_all(&mut ahead, 0).await?;
                self.end_section(section, std::mem::take(&mut models), models_end).await?;
                section = Some(block.section);
                self.begin_section(block.section);
            }
            if block.section == Section::Models {
                models_end = block.end;
                models.add(block, limits.graph_models).map_err(|error| failed(&error))?;
                continue;
            }
            let (reader, resource) = (Arc::clone(&twins), Arc::clone(&self.resource));
            let of = block.section;
            ahead.push_back((of, tokio::spawn(async move { reader.read_block(&resource, block).await })));
            self.write_all(&mut ahead, AHEAD).await?;
        }
        self.write_all(&mut ahead, 0).await?;
        self.end_section(section, models, models_end).await?;
        Ok(None)
    }

    /// Writes blocks, the first first, until no more than `left` are being read.
    async fn write_all(&mut self, ahead: &mut VecDeque<Reading>, left: usize) -> Result<(), Ended> {
        while ahead.len() > left {
            let Some((section, reading)) = ahead.pop_front() else { break };
            let ready =
                reading.await.map_err(|_| Ended::Interrupted("a part of the import broke off".to_owned()))?;
            let ready = ready.map_err(|error| Ended::Interrupted(error.message))?;
            self.write_block(section, ready).await?;
        }
        Ok(())
    }

    async fn write_block(&mut self, section: Section, ready: Ready) -> Result<(), Ended> {
        let mut next = self.moved();
        let progress = &mut next.progress;
        (progress.section, progress.offset, progress.line) =
            (Some(section), ready.end.offset, ready.end.line);
        let faults = ready.faults.len() as u64;
        progress.failed += faults;
        progress.failed_in_section += faults;
        self.tell(ready.faults).await?;
        let (twins, instance) = (Arc::clone(&self.twins), self.resource.name.clone());
        let before = self.job.etag.clone();
        let along = |applied: &Applied| self.writes(counted(&next, applied), &before);
        match twins.apply(&instance, ready.entries, along).await {
            Ok(applied) => {
                self.job = counted(&next, &applied);
                self.tell(applied.faults).await
            }
            Err(NotApplied::Along(mismatch)) => Err(self.superseded(mismatch).await),
            Err(NotApplied::Failed(error)) => Err(Ended::Interrupted(error.message)),
        }
    }

    /// Writes faults to the log.
    async fn tell(&mut self, faults: Vec<crate::twins::ItemFault>) -> Result<(), Ended> {
        let now = self.twins.context.clock.now();
        let Some(log) = &mut self.log else { return Ok(()) };
        faults.iter().for_each(|fault| log.fault(now, fault));
        if faults.is_empty() { Ok(()) } else { log.flush(&self.twins).await.map_err(no(OUTPUT)) }
    }

    fn begin_section(&mut self, section: Section) {
        let now = self.twins.context.clock.now();
        self.job.progress.failed_in_section = 0;
        if let Some(log) = &mut self.log {
            log.info(now, json!({ "section": section.as_str(), "status": "Started" }));
        }
    }

    /// The section's end, and its models where it is theirs.
    async fn end_section(
        &mut self,
        section: Option<Section>,
        models: Models,
        end: Place,
    ) -> Result<(), Ended> {
        let Some(section) = section.filter(|section| *section != Section::Header) else { return Ok(()) };
        if section == Section::Models && end.section == Some(section) {
            let made = self.twins.import_models(&self.resource, models).await;
            let made = made.map_err(|error| match error.code {
                pollux_model::ErrorCode::Unavailable => Ended::Interrupted(error.message),
                _ => failed(&error),
            })?;
            let mut next = self.moved();
            let progress = &mut next.progress;
            (progress.section, progress.offset, progress.line) = (end.section, end.offset, end.line);
            progress.models += made.created;
            progress.unchanged += made.unchanged;
            progress.failed += made.faults.len() as u64;
            progress.failed_in_section += made.faults.len() as u64;
            self.tell(made.faults).await?;
            self.save(next, Vec::new()).await?;
        }
        let now = self.twins.context.clock.now();
        let failed = self.job.progress.failed_in_section;
        let status = if failed == 0 { "Succeeded" } else { "Failed" };
        let details = json!({ "section": section.as_str(), "status": status, "failed": failed });
        let Some(log) = &mut self.log else { return Ok(()) };
        if failed == 0 {
            log.info(now, details)
        } else {
            log.error(now, details)
        }
        log.flush(&self.twins).await.map_err(no(OUTPUT))
    }
}

/// The job behind a block, given what became of its items.
fn counted(next: &Job, applied: &Applied) -> Job {
    let mut next = next.clone();
    let (progress, faults) = (&mut next.progress, applied.faults.len() as u64);
    progress.twins += applied.twins;
    progress.relationships += applied.relationships;
    progress.unchanged += applied.unchanged;
    progress.failed += faults;
    progress.failed_in_section += faults;
    next
}

fn failed(error: &Error) -> Ended {
    Ended::Failed(JobError { code: code_of(error.code), message: error.message.clone() })
}

fn no(code: &'static str) -> impl FnOnce(BlobError) -> Ended {
    move |error| match error {
        BlobError::Away(why) => Ended::Interrupted(why),
        BlobError::Missing(_) | BlobError::Conflict(_) | BlobError::No(_) => {
            Ended::Failed(job_error(error, code))
        }
    }
}

/// Reads the input to its end, as fast as its blocks are taken.
async fn give(mut input: Input, mut lines: Lines, most: u64, blocks: mpsc::Sender<Given>) {
    let ended = loop {
        match input.next().await {
            Err(error) => break Err(Broken::Blob(error)),
            Ok(None) => break lines.finish().map_err(Broken::Malformed),
            Ok(Some(bytes)) => {
                if let Err(error) = lines.feed(&bytes) {
                    break Err(Broken::Malformed(error));
                }
            }
        }
        if lines.place().offset > most {
            break Err(Broken::Malformed(super::refuse(format!("The input is larger than {most} bytes."))));
        }
        while let Some(block) = lines.next() {
            if blocks.send(Ok(block)).await.is_err() {
                return;
            }
        }
    };
    while let Some(block) = lines.next() {
        if blocks.send(Ok(block)).await.is_err() {
            return;
        }
    }
    if let Err(broken) = ended {
        // Whoever does not wait any more need not be told.
        let _ = blocks.send(Err(broken)).await;
    }
}
