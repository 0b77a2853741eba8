//! What must hold once a fault is over and the load pauses: every acknowledged fact is there, once, and everybody knows it.

mod stored;
mod told;

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::events::Events;
use crate::load::Load;
use crate::watch::Watch;

/// How long anything that follows later may take.
const FINALLY: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(300);

/// A case and how it ended.
pub(crate) type Case = (&'static str, Result<String, String>);

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) load: &'a Load,
    pub(crate) events: &'a Events,
    pub(crate) watch: &'a Watch,
    /// The nodes' processes.
    pub(crate) processes: &'a [u32],
}

/// Checks everything.
pub(crate) async fn all(subject: Subject<'_>) -> Vec<Case> {
    let mut cases = told::all(subject).await;
    cases.extend(stored::all(subject).await);
    cases
}

/// Looks until it holds, or for [`FINALLY`]; what it said last, with how long it took.
async fn finally(mut look: impl AsyncFnMut() -> Result<String, String>) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(said) if begun.elapsed() > 2 * LOOK => {
                return Ok(format!("{said} after {:.1} s", begun.elapsed().as_secs_f64()));
            }
            Ok(said) => return Ok(said),
            Err(error) if begun.elapsed() > FINALLY => {
                return Err(format!("{error} ({} s later)", FINALLY.as_secs()));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}
