//! Scheduled jobs of hubs: which are due, and what became of them at each device.

use std::sync::Arc;

use pollux_model::scheduled_job::{DeviceJob, DeviceJobStatus, ScheduledJob, ScheduledJobStatus};

use super::fixtures::{
    device_id, device_job, etag, moment, name, put_device_job, put_scheduled_job, scheduled_job, twin_job,
};
use super::{Backend, all_pages, commit, refused};
use crate::batch::{Expect, Write};
use crate::error::Mismatch;
use crate::scheduled_jobs::{DeviceJobFilter, ScheduledJobCounts, after_device_job};

pub(super) async fn scheduled_jobs_come_back_whole(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let jobs = [scheduled_job("a"), twin_job("b'|~%")];
    commit(&*store, jobs.clone().map(|job| put_scheduled_job("hub-one", job))).await;
    for job in &jobs {
        assert_eq!(store.scheduled_job(&hub, &job.id).await.expect("job").as_ref(), Some(job));
        assert_eq!(store.scheduled_job(&name("hub-two"), &job.id).await.expect("job"), None);
    }
    let moved = ScheduledJob { etag: etag("s2"), failure_reason: None, ..scheduled_job("a") };
    let put = |expect: &str| Write::PutScheduledJob {
        hub: name("hub-one"),
        job: Box::new(moved.clone()),
        expect: Expect::Etag(etag(expect)),
    };
    assert_eq!(refused(&*store, [put("s0")]).await, (0, Mismatch::OtherEtag));
    commit(&*store, [put("s1")]).await;
    assert_eq!(store.scheduled_job(&hub, "a").await.expect("job"), Some(moved));
    assert_eq!(store.scheduled_job(&hub, "A").await.expect("job"), None);
}

pub(super) async fn jobs_are_due_in_order(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let job = |id: &str, status, start, purge: Option<i64>| ScheduledJob {
        status,
        start: moment(start),
        purge: purge.map(moment),
        ..scheduled_job(id)
    };
    use ScheduledJobStatus::{Cancelling, Completed, Failed, Queued, Running, Scheduled};
    let jobs = [
        job("later", Scheduled, 99, None),
        job("now", Running, 10, None),
        job("first", Queued, 5, None),
        job("ends", Cancelling, 20, None),
        job("old", Completed, 1, Some(40)),
        job("older", Failed, 2, Some(30)),
    ];
    commit(&*store, jobs.map(|job| put_scheduled_job("hub-one", job))).await;
    commit(&*store, [put_scheduled_job("hub-two", scheduled_job("x"))]).await;
    for (over, all) in [(false, vec!["first", "now", "ends", "later"]), (true, vec!["older", "old"])] {
        for limit in [1, 2, 9] {
            let found = store.due_scheduled_jobs(&hub, over, limit).await.expect("jobs");
            let found: Vec<&str> = found.iter().map(|job| &*job.id).collect();
            assert_eq!(found, all[..limit.min(all.len())]);
        }
    }
    let count = async |now| store.count_scheduled_jobs(&hub, moment(now)).await.expect("counts");
    assert_eq!(count(20).await, ScheduledJobCounts { active: 3, waiting: 1, over: 2 });
    assert_eq!(count(4).await, ScheduledJobCounts { active: 0, waiting: 4, over: 2 });
    let found = all_pages(2, async |after| store.scheduled_jobs(&hub, after.as_deref(), 2).await).await;
    let ids: Vec<&str> = found.iter().map(|job| &*job.id).collect();
    assert_eq!(ids, ["ends", "first", "later", "now", "old", "older"]);
}

pub(super) async fn jobs_at_devices_are_found_by_job_device_and_status(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = &name("hub-one");
    // Neighbours of `d` and of its modules: what sorts around a slash.
    let devices = ["d", "d.", "d/m", "d/n", "d0", "e"];
    let mut all: Vec<DeviceJob> =
        ["a", "b"].iter().flat_map(|job| devices.map(|device| device_job(job, device))).collect();
    all[1].status = DeviceJobStatus::Pending;
    all[3].status = DeviceJobStatus::Pending;
    commit(&*store, all.iter().rev().map(|job| put_device_job("hub-one", job.clone()))).await;
    commit(&*store, [put_device_job("hub-onf", device_job("a", "d"))]).await;
    let d = device_id("d");
    let pending = Some(DeviceJobStatus::Pending);
    type Keep = fn(&DeviceJob) -> bool;
    let of_d: Keep = |job| &*job.device.device == "d";
    let cases: [(DeviceJobFilter<'_>, Keep); 6] = [
        (DeviceJobFilter::default(), |_| true),
        (DeviceJobFilter { job: Some("a"), ..Default::default() }, |job| job.job == "a"),
        (DeviceJobFilter { device: Some(&d), ..Default::default() }, of_d),
        (DeviceJobFilter { job: Some("b"), device: Some(&d), status: None }, |job| {
            job.job == "b" && &*job.device.device == "d"
        }),
        (DeviceJobFilter { job: Some("a"), device: None, status: pending }, |job| {
            job.status == DeviceJobStatus::Pending
        }),
        (DeviceJobFilter { job: Some("a"), device: Some(&d), status: pending }, |job| {
            job.status == DeviceJobStatus::Pending && &*job.device.device == "d"
        }),
    ];
    for (filter, keep) in cases {
        let expected: Vec<_> = all.iter().filter(|job| keep(job)).cloned().collect();
        for limit in [1, 2, 100] {
            let read =
                async |after: Option<String>| store.device_jobs(hub, filter, after.as_deref(), limit).await;
            assert_eq!(all_pages(limit, read).await, expected, "{filter:?}");
        }
        let after = after_device_job(&all[4].job, &all[4].device);
        let rest = store.device_jobs(hub, filter, Some(&after), 100).await.expect("jobs").items;
        let expected: Vec<_> = all[5..].iter().filter(|job| keep(job)).cloned().collect();
        assert_eq!(rest, expected, "{filter:?}");
    }
    assert!(store.device_jobs(hub, DeviceJobFilter::default(), Some("x"), 1).await.is_err());
}

/// Whoever asks may ask for any text: an id that no job has is found nowhere, and is no failure of the store.
pub(super) async fn ids_that_no_job_has_are_not_there(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = &name("hub-one");
    commit(&*store, [put_scheduled_job("hub-one", scheduled_job("a"))]).await;
    commit(&*store, [put_device_job("hub-one", device_job("a", "d"))]).await;
    for id in ["a\0", "\0", "a\u{1}", "\u{1}"] {
        assert_eq!(store.scheduled_job(hub, id).await.expect("job"), None, "{id:?}");
        let later = store.scheduled_jobs(hub, Some(id), 9).await.expect("jobs").items;
        assert_eq!(later.len(), usize::from(!id.starts_with('a')), "{id:?}");
        let filter = DeviceJobFilter { job: Some(id), ..Default::default() };
        assert!(store.device_jobs(hub, filter, None, 9).await.expect("jobs").items.is_empty(), "{id:?}");
        let after = after_device_job(id, &device_job("a", "d").device);
        let later = store.device_jobs(hub, DeviceJobFilter::default(), Some(&after), 9).await;
        assert_eq!(later.expect("jobs").items.len(), usize::from(!id.starts_with('a')), "{id:?}");
    }
}

pub(super) async fn what_became_of_a_job_is_forgotten_in_pieces(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    let devices = ["a", "b", "c", "d", "e"];
    for (hub, job) in [("hub-one", "x"), ("hub-one", "y"), ("hub-two", "x")] {
        commit(&*store, devices.map(|device| put_device_job(hub, device_job(job, device)))).await;
    }
    let forget = |most| Write::ForgetDeviceJobs { hub: name("hub-one"), job: "x".to_owned(), most };
    let left = async |hub: &str, job: &str| {
        let filter = DeviceJobFilter { job: Some(job), ..Default::default() };
        let found = store.device_jobs(&name(hub), filter, None, 9).await.expect("jobs").items;
        found.into_iter().map(|job| job.device.to_string()).collect::<Vec<_>>()
    };
    commit(&*store, [forget(2)]).await;
    assert_eq!(left("hub-one", "x").await, ["c", "d", "e"]);
    commit(&*store, [forget(0)]).await;
    commit(&*store, [forget(1), forget(1)]).await;
    assert_eq!(left("hub-one", "x").await, ["e"]);
    commit(&*store, [forget(9)]).await;
    assert!(left("hub-one", "x").await.is_empty());
    commit(&*store, [forget(9)]).await;
    assert_eq!(
        (left("hub-one", "y").await, left("hub-two", "x").await.len()),
        (devices.map(str::to_owned).to_vec(), 5)
    );
    assert_eq!(store.scheduled_job(&hub, "x").await.expect("job"), None);
}

pub(super) async fn a_job_is_forgotten_with_what_became_of_it(backend: Arc<dyn Backend>) {
    let store = backend.open().await;
    let hub = name("hub-one");
    for job in ["a", "b"] {
        commit(&*store, [put_scheduled_job("hub-one", scheduled_job(job))]).await;
        commit(&*store, ["d", "e"].map(|device| put_device_job("hub-one", device_job(job, device)))).await;
    }
    let gone = |expect| Write::DeleteScheduledJob { hub: name("hub-one"), id: "a".to_owned(), expect };
    assert_eq!(refused(&*store, [gone(Expect::Etag(etag("s0")))]).await, (0, Mismatch::OtherEtag));
    commit(&*store, [gone(Expect::Present)]).await;
    let left = store.device_jobs(&hub, DeviceJobFilter::default(), None, 9).await.expect("jobs").items;
    assert_eq!(left, ["d", "e"].map(|device| device_job("b", device)));
    assert_eq!(store.scheduled_job(&hub, "a").await.expect("job"), None);
}
