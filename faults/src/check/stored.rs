//! The event log: every acknowledged message and change once and in order, every life of a device told once. Leases and
//! checkpoints.

use std::collections::HashMap;

use tokio::time::Instant;

use super::{Case, FINALLY, Subject, finally};
use crate::ledger::{Life, State};
use crate::numbers::{Numbers, Trace, Wrong};
use crate::report::none;

pub(super) async fn all(subject: Subject<'_>) -> Vec<Case> {
    let read = subject.events.catch_up(Instant::now() + FINALLY).await;
    let telemetry = telemetry(subject);
    let changes = finally(async || changes(subject).await).await;
    let lives = finally(async || lives(subject).await).await;
    let leases = finally(async || leases(subject)).await;
    // What was noted on the way is asked for once, when all was read: it is no matter of waiting.
    let records = subject.events.found.lock().records;
    let read = read.map(|()| format!("{records} records")).map_err(|error| format!("{error:#}"));
    let noted = none("records that do not fit", &subject.events.found.lock().take_wrong());
    let back = none("steps back", &subject.watch.take_wrong());
    vec![
        (
            "the event log can be read back, each record fits what came before it",
            read.and_then(|said| noted.map(|()| said)),
        ),
        (
            "no acknowledged message is lost, none is there more often than it was sent, each device's are in order",
            telemetry,
        ),
        ("each acknowledged change of desired properties has one event, in order", changes),
        ("each create and delete of a device has one event", lives),
        ("every lease has one owner", leases),
        ("no epoch of a lease and no checkpoint went back", back.map(|()| String::new())),
    ]
}

fn telemetry(subject: Subject<'_>) -> Result<String, String> {
    let found = &mut subject.events.found.lock().telemetry;
    let (wrong, copies) = judged(subject, found, |state| &state.telemetry);
    for (id, wrong) in &wrong {
        found.entry(id.clone()).or_default().tell(wrong);
    }
    verdict(&wrong)?;
    let ledger = &subject.load.ledger;
    let acknowledged = ledger.counted().telemetry;
    Ok(format!("{acknowledged} acknowledged so far, 0 lost, 0 doubled; {copies} copies of those sent again"))
}

async fn changes(subject: Subject<'_>) -> Result<String, String> {
    subject.events.catch_up(Instant::now() + FINALLY).await.map_err(|error| format!("{error:#}"))?;
    let found = &mut subject.events.found.lock().changes;
    let (wrong, _) = judged(subject, found, |state| &state.desired);
    verdict(&wrong).map(|()| String::new())
}

type Numbered = Vec<(String, Wrong)>;

fn judged(
    subject: Subject<'_>,
    found: &mut HashMap<String, Trace>,
    numbers: impl Fn(&State) -> &Numbers,
) -> (Numbered, u64) {
    let (mut all, mut copies) = (Vec::new(), 0);
    for device in &subject.load.ledger.devices {
        let state = device.state.lock();
        let trace = found.entry(device.id.clone()).or_default();
        let wrong = trace.judge(numbers(&state));
        copies += trace.copies();
        if wrong != Wrong::default() {
            all.push((device.id.clone(), wrong));
        }
    }
    (all, copies)
}

fn verdict(wrong: &Numbered) -> Result<(), String> {
    let count = |of: fn(&Wrong) -> usize| wrong.iter().map(|(_, wrong)| of(wrong)).sum::<usize>();
    let (lost, doubled) = (count(|wrong| wrong.lost.len()), count(|wrong| wrong.doubled.len()));
    let disordered = count(|wrong| wrong.disordered.len());
    let examples: Vec<_> = wrong.iter().map(|(id, wrong)| format!("{id}: {wrong:?}")).collect();
    none(&format!("devices ({lost} lost, {doubled} doubled, {disordered} out of order)"), &examples)
}

async fn lives(subject: Subject<'_>) -> Result<String, String> {
    subject.events.catch_up(Instant::now() + FINALLY).await.map_err(|error| format!("{error:#}"))?;
    let found = subject.events.found.lock();
    let mut wrong = Vec::new();
    let mut compare = |id: &str, is_there: bool| {
        let lives = found.lives.get(id).cloned().unwrap_or_default();
        if lives.generation.is_some() != is_there {
            let (is, told) = (if is_there { "is there" } else { "is not there" }, &lives.generation);
            wrong.push(format!("{id} {is}, its events say {told:?}"));
        }
    };
    for device in &subject.load.ledger.devices {
        let life = device.state.lock().life;
        compare(&device.id, life != Life::Deleted);
    }
    for id in subject.load.ledger.fresh.lock().iter() {
        compare(id, true);
    }
    none("devices", &wrong)?;
    let begun: u64 = found.lives.values().map(|lives| lives.begun).sum();
    Ok(format!("{begun} creates so far"))
}

fn leases(subject: Subject<'_>) -> Result<String, String> {
    let look = subject.watch.look();
    if look.at.is_none_or(|at| at.elapsed() > 4 * super::LOOK) {
        return Err("PostgreSQL was not looked at".to_owned());
    }
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let mut free = Vec::new();
    // The others are a node's own name, which nobody takes after it, and locks, which are free most of the time.
    let work = |name: &&String| name.starts_with("relay/") || name.starts_with("consumer/");
    for (name, held) in look.leases.iter().filter(|(name, _)| work(name)) {
        match &held.owner {
            Some(owner) if held.running => *owners.entry(owner).or_default() += 1,
            _ => free.push(name.clone()),
        }
    }
    none("leases without an owner", &free)?;
    if owners.is_empty() {
        return Err("there is no lease".to_owned());
    }
    let mut owners: Vec<_> = owners.into_iter().map(|(owner, count)| format!("{owner}: {count}")).collect();
    owners.sort();
    Ok(owners.join(", "))
}
