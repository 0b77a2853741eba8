//! Jobs with everything but edges: run by hand, so that a crash is a place in the code, or by the node.

mod going_on;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pollux_model::resource::{Resource, ResourceKind};
use pollux_model::scheduled_job::{DeviceJobStatus, JobStatistics, ScheduledJob, ScheduledJobType};
use pollux_model::{Clock as _, DeviceAddress, ErrorCode, Etag};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::run::Run;
use super::*;
use crate::caller::Caller;
use crate::fixture::World;
use crate::hub::{
    Connection, DeviceCommand, DeviceInput, DeviceLink, DeviceRow, Entering, MethodAnswer, MethodCall,
    MethodFailure, MethodInput, ModuleInput, OpenMethods, TwinInput,
};

/// Answers with what it is asked, unless it is asked to be silent or deaf.
#[derive(Debug, Default)]
pub(super) struct Link {
    asked: Mutex<Vec<String>>,
    versions: Mutex<Vec<u64>>,
    open: OpenMethods,
}

impl DeviceLink for Link {
    fn deliver(&self, command: DeviceCommand) {
        if let DeviceCommand::Desired { version, .. } = command {
            self.versions.lock().push(version);
        }
    }

    fn invoke(&self, call: MethodCall) -> Result<oneshot::Receiver<MethodAnswer>, MethodFailure> {
        let (id, waits) = self.open.ask()?;
        if call.name == "deaf" {
            return Err(MethodFailure::NotOnline);
        }
        self.asked.lock().push(call.name.clone());
        if call.name != "silent" {
            self.open.answer(id, MethodAnswer { status: 200, payload: call.payload });
        }
        Ok(waits)
    }
}

pub(super) struct Hubs {
    pub(super) world: World,
    pub(super) hub: Arc<Resource>,
}

fn map(value: Value) -> Option<Map<String, Value>> {
    value.as_object().cloned()
}

fn address(text: &str) -> DeviceAddress {
    DeviceAddress::parse(text).unwrap()
}

fn twin(tags: Value, desired: Value) -> JobWorkInput {
    JobWorkInput::UpdateTwin(
        TwinInput { tags: map(tags), desired: map(desired), ..TwinInput::default() },
        None,
    )
}

pub(super) fn method(name: &str, connect_timeout: Option<u64>) -> JobWorkInput {
    let payload = Some(json!({"n": 1}));
    JobWorkInput::DeviceMethod(MethodInput {
        name: name.to_owned(),
        payload,
        response_timeout: None,
        connect_timeout,
    })
}

pub(super) fn input(id: &str, condition: &str, work: JobWorkInput) -> JobInput {
    JobInput {
        id: id.to_owned(),
        work,
        query_condition: condition.to_owned(),
        start: None,
        max_execution_seconds: None,
    }
}

impl Hubs {
    pub(super) async fn new(devices: &[&str]) -> Self {
        Self::over(World::new().await, devices).await
    }

    async fn over(world: World, devices: &[&str]) -> Self {
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let it = Self { world, hub };
        for id in devices {
            it.create(id).await;
        }
        it
    }

    pub(super) fn service(&self) -> &Arc<Hub> {
        &self.world.services.hub
    }

    async fn create(&self, id: &str) {
        let address = address(id);
        let admin = Caller::admin();
        match address.module {
            None => {
                let input = DeviceInput::new(id);
                self.service().create_device(&admin, &self.hub, input).await.map(drop).unwrap();
            }
            Some(module) => {
                let input = ModuleInput {
                    device: address.device.to_string(),
                    id: module.to_string(),
                    authentication: None,
                    managed_by: None,
                };
                self.service().create_module(&admin, &self.hub, input).await.map(drop).unwrap();
            }
        }
    }

    pub(super) async fn connect(&self, id: &str) -> (Connection, Arc<Link>) {
        let link = Arc::new(Link::default());
        let who = Entering::new(self.hub.name.clone(), address(id), String::new());
        let now = self.world.clock.now();
        let connection = self.service().connections.enter(who, link.clone(), now).await.unwrap();
        connection.knows(1);
        (connection, link)
    }

    pub(super) async fn add(&self, input: JobInput) -> Result<ScheduledJob, ErrorCode> {
        let added = self.service().create_job(&Caller::admin(), &self.hub, input).await;
        added.map_err(|error| error.code)
    }

    /// What a node begins with.
    pub(super) async fn begun(&self, id: &str) -> Run {
        let store = &self.world.services.context.store;
        let job = store.scheduled_job(&self.hub.name, id).await.unwrap().unwrap();
        Run { hub: Arc::clone(self.service()), resource: Arc::clone(&self.hub), fence: None, job }
    }

    /// Adds a job and works on it.
    async fn done(&self, input: JobInput) -> ScheduledJob {
        let id = input.id.clone();
        self.add(input).await.unwrap();
        self.begun(&id).await.run().await.unwrap();
        self.job(&id).await
    }

    pub(super) async fn job(&self, id: &str) -> ScheduledJob {
        self.service().job(&Caller::admin(), &self.hub, id).await.unwrap().unwrap()
    }

    async fn ended(&self, id: &str) -> ScheduledJob {
        loop {
            let job = self.job(id).await;
            if job.status.is_over() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn cancel(&self, id: &str) -> Result<ScheduledJobStatus, ErrorCode> {
        let cancelled = self.service().cancel_job(&Caller::admin(), &self.hub, id).await;
        cancelled.map(|job| job.status).map_err(|error| error.code)
    }

    async fn query(&self, text: &str) -> Vec<Value> {
        let (mut rows, mut after) = (Vec::new(), None::<String>);
        loop {
            let admin = Caller::admin();
            let page = self.service().query(&admin, &self.hub, text, after.as_deref(), 2).await.unwrap();
            rows.extend(page.items.into_iter().map(|row| match row {
                DeviceRow::Job(row) | DeviceRow::Raw(row) | DeviceRow::Twin(row) => row,
            }));
            after = page.next;
            if after.is_none() {
                return rows;
            }
        }
    }

    /// Device, status and error code of each row of a job.
    async fn rows(&self, job: &str) -> Vec<(String, String, Option<String>)> {
        let rows =
            self.query(&format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{job}'")).await;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        rows.iter()
            .map(|row| {
                let device = text(&row["deviceId"]).unwrap();
                let module = text(&row["moduleId"]).map(|id| format!("/{id}")).unwrap_or_default();
                (device + &module, text(&row["status"]).unwrap(), text(&row["error"]["code"]))
            })
            .collect()
    }

    async fn tags(&self, id: &str) -> Value {
        let twin = self.service().twin(&Caller::admin(), &self.hub, &address(id)).await.unwrap();
        json!([twin.get("tags").unwrap_or(&json!({})), twin["properties"]["desired"]["$version"]])
    }
}

fn row(id: &str, status: &str, error: Option<&str>) -> (String, String, Option<String>) {
    (id.to_owned(), status.to_owned(), error.map(str::to_owned))
}

fn counts(devices: u64, failed: u64, succeeded: u64) -> JobStatistics {
    JobStatistics { devices, failed, succeeded, running: 0, pending: 0 }
}

#[tokio::test]
async fn twins_change_once_and_connected_devices_are_told() {
    let it = Hubs::new(&["a", "b", "b/m", "c"]).await;
    let (_connection, link) = it.connect("b").await;
    let work = twin(json!({"floor": "G"}), json!({"interval": 5}));
    let job = it.done(input("j1", "deviceId IN ['a', 'b', 'nobody']", work)).await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(2, 0, 2)));
    assert_eq!(job.ended, Some(it.world.clock.now()));
    for (id, version) in [("a", 2), ("b", 2)] {
        assert_eq!(it.tags(id).await, json!([{"floor": "G"}, version]));
    }
    for id in ["c", "b/m"] {
        assert_eq!(it.tags(id).await, json!([{}, 1]));
    }
    assert_eq!(*link.versions.lock(), [2]);
    assert_eq!(it.rows("j1").await, [row("a", "completed", None), row("b", "completed", None)]);
    let rows = it.query("SELECT * FROM devices.jobs WHERE deviceId = 'b'").await;
    let now = json!(it.world.clock.now());
    let expected = json!({
        "deviceId": "b", "jobId": "j1", "jobType": "scheduleUpdateTwin", "status": "completed",
        "createdDateTimeUtc": now, "lastUpdatedDateTimeUtc": now, "startTimeUtc": now, "endTimeUtc": now,
        "outcome": {"deviceMethodResponse": null},
    });
    assert_eq!(rows, [expected]);

    // Modules, all of them.
    let work = twin(json!({"x": 1}), json!({}));
    let job = it.done(input("j2", "FROM devices.modules WHERE ModuleId = 'm'", work)).await;
    assert_eq!(job.statistics, counts(1, 0, 1));
    assert_eq!(it.rows("j2").await, [row("b/m", "completed", None)]);
    assert_eq!(it.tags("b/m").await[0], json!({"x": 1}));
    let of_b = it.query("SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'b'").await;
    assert_eq!(of_b.len(), 2);
    let totals = "SELECT status, COUNT() AS n FROM devices.jobs GROUP BY status";
    assert_eq!(it.query(totals).await, [json!({"status": "completed", "n": 3})]);
    let none = it.done(input("j3", "tags.floor = 'nowhere'", method("echo", None))).await;
    assert_eq!((none.status, none.statistics), (ScheduledJobStatus::Completed, counts(0, 0, 0)));
}

#[tokio::test]
async fn what_cannot_be_changed_fails_by_itself() {
    let it = Hubs::new(&["gone", "full", "good"]).await;
    let big = "x".repeat(4000);
    // Twice, so that its etag is no other twin's.
    for _ in 0..2 {
        let tags = TwinInput { tags: map(json!({"a": big})), ..TwinInput::default() };
        it.service().patch_twin(&Caller::admin(), &it.hub, &address("full"), tags, None).await.unwrap();
    }
    it.add(input("j", "*", twin(json!({"b": big, "c": "y".repeat(200)}), json!({})))).await.unwrap();
    let mut run = it.begun("j").await;
    run.select().await.unwrap();
    assert_eq!(it.job("j").await.statistics.pending, 3);
    it.service().delete_device(&Caller::admin(), &it.hub, "gone", None).await.unwrap();
    run.run().await.unwrap();
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(3, 2, 1)));
    let expected = [
        row("full", "failed", Some("MessageTooLarge")),
        row("gone", "failed", Some("DeviceNotFound")),
        row("good", "completed", None),
    ];
    assert_eq!(it.rows("j").await, expected);

    // An etag that is no other than the one given.
    let read = it.service().twin(&Caller::admin(), &it.hub, &address("good")).await.unwrap();
    let etag = Etag::new(read["etag"].as_str().unwrap());
    let input_of = |id: &str| {
        let work = TwinInput { tags: map(json!({"z": 1})), ..TwinInput::default() };
        input(id, "*", JobWorkInput::UpdateTwin(work, Some(etag.clone())))
    };
    it.done(input_of("etag")).await;
    let failed = row("full", "failed", Some("PreconditionFailed"));
    assert_eq!(it.rows("etag").await, [failed, row("good", "completed", None)]);
}

#[tokio::test]
async fn a_job_goes_on_where_it_was() {
    let devices: Vec<String> = (0..150).map(|n| format!("d{n:03}")).collect();
    let it = Hubs::new(&devices.iter().map(String::as_str).collect::<Vec<_>>()).await;
    it.add(input("j", "*", twin(json!({"t": 1}), json!({"p": 1})))).await.unwrap();
    // The node is gone after the choice, and then after each commit that it gets to; one that it had begun may come after that.
    let or_over =
        |ended: Result<(), String>| assert!(ended.err().is_none_or(|why| why == "it is over, or gone"));
    it.begun("j").await.select().await.unwrap();
    for _ in 0..3 {
        let before = it.job("j").await.etag;
        tokio::select! {
            biased;
            ended = it.begun("j").await.run() => or_over(ended),
            () = async { while it.job("j").await.etag == before { tokio::task::yield_now().await; } } => {}
        }
    }
    while !it.job("j").await.status.is_over() {
        or_over(it.begun("j").await.run().await);
    }
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(150, 0, 150)));
    for id in &devices {
        assert_eq!(it.tags(id).await, json!([{"t": 1}, 2]), "{id}: once");
    }
    let count = "SELECT COUNT() AS n FROM devices.jobs WHERE status = 'completed' AND jobId = 'j'";
    assert_eq!(it.query(count).await, [json!({"n": 150})]);
}

#[tokio::test]
async fn others_may_change_the_same_twins() {
    let it = Hubs::new(&["a", "b", "c"]).await;
    let (_connection, link) = it.connect("b").await;
    it.add(input("j", "*", twin(json!({}), json!({"p": 1})))).await.unwrap();
    let patches = async {
        for n in 0..20 {
            let input = TwinInput { desired: map(json!({"q": n})), ..TwinInput::default() };
            it.service().patch_twin(&Caller::admin(), &it.hub, &address("b"), input, None).await.unwrap();
        }
    };
    let (ended, ()) = tokio::join!(it.begun("j").await.run(), patches);
    ended.unwrap();
    assert_eq!(it.job("j").await.statistics, counts(3, 0, 3));
    assert_eq!(*link.versions.lock(), (2..=22).collect::<Vec<u64>>(), "in order, none left out");
}

#[tokio::test]
async fn methods_are_called_and_their_answers_kept() {
    let it = Hubs::new(&["a", "b", "b/m", "away"]).await;
    let (_a, of_a) = it.connect("a").await;
    let (_b, of_b) = it.connect("b").await;
    let job = it.done(input("j", "*", method("echo", Some(0)))).await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(3, 1, 2)));
    let expected = [
        row("a", "completed", None),
        row("away", "failed", Some("DeviceNotOnline")),
        row("b", "completed", None),
    ];
    assert_eq!(it.rows("j").await, expected);
    let failed =
        "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j' AND devices.jobs.status = 'failed'";
    assert_eq!(it.query(failed).await.len(), 1);
    let answered = "SELECT * FROM devices.jobs WHERE outcome.deviceMethodResponse.status = 200";
    let rows = it.query(answered).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0]["outcome"], json!({"deviceMethodResponse": {"status": 200, "payload": {"n": 1}}}));
    // Modules have connections of their own.
    let (_m, of_m) = it.connect("b/m").await;
    it.done(input("m", "FROM devices.modules", method("echo", None))).await;
    assert_eq!(it.rows("m").await, [row("b/m", "completed", None)]);
    let asked = [of_a, of_b, of_m].map(|link| link.asked.lock().len());
    assert_eq!(asked, [1, 1, 1]);
    // One that is there and listens to no methods has until its time is over.
    it.done(input("deaf", "deviceId = 'a'", method("deaf", Some(0)))).await;
    assert_eq!(it.rows("deaf").await, [row("a", "failed", Some("DeviceNotOnline"))]);
}

#[tokio::test]
async fn a_device_that_comes_in_time_is_called() {
    let it = Hubs::new(&["late", "never"]).await;
    let wanted = JobInput { max_execution_seconds: Some(100), ..input("j", "*", method("echo", None)) };
    it.add(wanted).await.unwrap();
    let run = it.begun("j").await.run();
    let come = async {
        // It is looked for in vain once.
        while it.job("j").await.statistics.pending < 2 {
            tokio::task::yield_now().await;
        }
        let connected = it.connect("late").await;
        while it.job("j").await.statistics.succeeded < 1 {
            tokio::task::yield_now().await;
        }
        it.world.clock.advance(Duration::from_secs(100));
        it.service().jobs.tell();
        connected
    };
    let (ended, (_connection, link)) = tokio::join!(run, come);
    ended.unwrap();
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(2, 1, 1)));
    let missed = row("never", "failed", Some("JobRunPreconditionFailed"));
    assert_eq!(it.rows("j").await, [row("late", "completed", None), missed]);
    assert_eq!(link.asked.lock().len(), 1);
}

#[tokio::test]
async fn who_may_have_been_asked_is_not_asked_again() {
    let it = Hubs::new(&["a"]).await;
    let (connection, link) = it.connect("a").await;
    it.add(input("j", "*", method("silent", None))).await.unwrap();
    // The node is gone while the device is at it.
    tokio::select! {
        biased;
        _ = it.begun("j").await.run() => panic!("nobody answers"),
        () = async { while link.asked.lock().is_empty() { tokio::task::yield_now().await; } } => {}
    }
    assert_eq!(it.rows("j").await, [row("a", "running", None)]);
    assert_eq!(it.job("j").await.statistics.running, 1);
    it.begun("j").await.run().await.unwrap();
    assert_eq!(it.rows("j").await, [row("a", "failed", Some("ServerError"))]);
    assert_eq!((it.job("j").await.statistics, link.asked.lock().len()), (counts(1, 1, 0), 1));
    // Nor is one whose connection ended.
    it.add(input("k", "*", method("silent", None))).await.unwrap();
    let end = async {
        while link.asked.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
        link.open.end();
        drop(connection);
    };
    let (ended, ()) = tokio::join!(it.begun("k").await.run(), end);
    ended.unwrap();
    assert_eq!(it.rows("k").await, [row("a", "failed", Some("DeviceNotOnline"))]);
    assert_eq!(link.asked.lock().len(), 2);
}

#[tokio::test]
async fn a_cancelled_job_begins_at_no_other_device() {
    let it = Hubs::new(&["a", "b"]).await;
    // Before its time, under way, and when it is over.
    let later = it.world.clock.now().plus(Duration::from_secs(60));
    let waiting = JobInput { start: Some(later), ..input("later", "*", method("echo", None)) };
    assert_eq!(it.add(waiting).await.unwrap().status, ScheduledJobStatus::Scheduled);
    assert_eq!(it.cancel("later").await, Ok(ScheduledJobStatus::Cancelled));
    assert_eq!(it.cancel("later").await, Ok(ScheduledJobStatus::Cancelled));

    it.add(input("j", "*", method("echo", None))).await.unwrap();
    let run = it.begun("j").await.run();
    let cancel = async {
        while it.job("j").await.statistics.pending < 2 {
            tokio::task::yield_now().await;
        }
        let status = it.cancel("j").await.unwrap();
        assert_eq!(status.as_str(), "cancelled");
    };
    let (ended, ()) = tokio::join!(run, cancel);
    ended.unwrap();
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Cancelled, counts(2, 0, 0)));
    assert_eq!(it.rows("j").await, [row("a", "canceled", None), row("b", "canceled", None)]);
    let (_connection, link) = it.connect("a").await;
    it.done(input("done", "deviceId = 'a'", method("echo", None))).await;
    assert_eq!(it.cancel("done").await, Err(ErrorCode::PreconditionFailed));
    assert_eq!(it.cancel("none").await, Err(ErrorCode::JobNotFound));
    assert_eq!(link.asked.lock().len(), 1);
    // Cancelled once its devices are chosen, before anything is done: that is seen, though it was said before anybody listened.
    for (id, work) in [("t", twin(json!({"x": 1}), json!({}))), ("m", method("echo", None))] {
        it.add(input(id, "*", work)).await.unwrap();
        let mut run = it.begun(id).await;
        run.begin_job().await.unwrap();
        run.select().await.unwrap();
        assert_eq!(it.cancel(id).await, Ok(ScheduledJobStatus::Cancelling));
        run.run().await.unwrap();
        assert_eq!(it.job(id).await.status, ScheduledJobStatus::Cancelled);
        assert_eq!(it.rows(id).await, [row("a", "canceled", None), row("b", "canceled", None)]);
    }
    assert_eq!((it.tags("a").await[0].clone(), link.asked.lock().len()), (json!({}), 1));
}

#[tokio::test]
async fn there_are_as_many_jobs_as_there_may_be() {
    let it = Hubs::new(&[]).await;
    let later = it.world.clock.now().plus(Duration::from_secs(60));
    let at = |id: &str, start| JobInput { start, ..input(id, "*", method("echo", None)) };
    for n in 0..10 {
        it.add(at(&format!("now{n}"), None)).await.unwrap();
    }
    assert_eq!(it.add(at("now", None)).await.unwrap_err(), ErrorCode::ActiveJobLimitReached);
    // What waits is counted by itself.
    it.add(at("later", Some(later))).await.unwrap();
    assert_eq!(it.add(at("later", Some(later))).await.unwrap_err(), ErrorCode::JobExists);
    assert_eq!(it.add(at("now3", None)).await.unwrap_err(), ErrorCode::JobExists);
    it.begun("now0").await.run().await.unwrap();
    it.add(at("now", None)).await.unwrap();
    assert_eq!(it.add(at("now0", None)).await.unwrap_err(), ErrorCode::JobExists, "it is kept");

    let list = async |filter, limit| {
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let admin = Caller::admin();
            let page = it.service().jobs(&admin, &it.hub, filter, after.as_deref(), limit).await.unwrap();
            found.extend(page.items.into_iter().map(|job| job.id));
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    for limit in [1, 5, 100] {
        assert_eq!(list(JobFilter::default(), limit).await.len(), 12);
        let filter = JobFilter { kind: None, status: Some(ScheduledJobStatus::Queued) };
        assert_eq!(list(filter, limit).await.len(), 10);
        let filter = JobFilter { kind: None, status: Some(ScheduledJobStatus::Completed) };
        assert_eq!(list(filter, limit).await, ["now0"]);
        let filter = JobFilter { kind: Some(ScheduledJobType::ScheduleUpdateTwin), status: None };
        assert!(list(filter, limit).await.is_empty());
    }
}

#[tokio::test]
async fn a_job_that_comes_too_late_has_failed() {
    let it = Hubs::new(&["a"]).await;
    it.add(JobInput { max_execution_seconds: Some(20), ..input("j", "*", method("echo", None)) })
        .await
        .unwrap();
    it.world.clock.advance(Duration::from_secs(20));
    it.begun("j").await.run().await.unwrap();
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Failed, counts(0, 0, 0)));
    assert!(job.failure_reason.unwrap().contains("maxExecutionTimeInSeconds"));
}

#[tokio::test]
async fn bad_input_is_told() {
    let it = Hubs::new(&[]).await;
    for id in ["", "a b", "a/b", "query", "Query", "\u{e9}", &"x".repeat(129)] {
        let code = it.add(input(id, "*", method("echo", None))).await.unwrap_err();
        assert_eq!(code, ErrorCode::InvalidArgument, "{id}");
    }
    let bad = [
        (input("j", "SELECT", method("echo", None)), ErrorCode::QueryInvalid),
        (input("j", "*", method("", None)), ErrorCode::InvalidArgument),
        (input("j", "*", method("echo", Some(301))), ErrorCode::InvalidArgument),
        (input("j", "*", twin(json!({"a.b": 1}), json!({}))), ErrorCode::InvalidArgument),
        (input("j", "*", twin(json!({}), json!({"$x": 1}))), ErrorCode::InvalidArgument),
        (
            JobInput { max_execution_seconds: Some(u64::MAX), ..input("j", "*", method("echo", None)) },
            ErrorCode::InvalidArgument,
        ),
    ];
    for (input, expected) in bad {
        assert_eq!(it.add(input.clone()).await.unwrap_err(), expected, "{input:?}");
    }
    let huge = (0..20).map(|n| (format!("k{n}"), json!("x".repeat(4000)))).collect();
    let work = JobWorkInput::UpdateTwin(TwinInput { desired: Some(huge), ..TwinInput::default() }, None);
    assert_eq!(it.add(input("j", "*", work)).await.unwrap_err(), ErrorCode::TooLarge);
    assert!(it.service().job(&Caller::admin(), &it.hub, "j").await.unwrap().is_none());
}

#[tokio::test]
async fn the_node_works_when_a_job_is_due_and_forgets_it_in_the_end() {
    let it = Hubs::new(&["a"]).await;
    let shutdown = CancellationToken::new();
    let working = tokio::spawn(Arc::clone(it.service()).run_jobs(shutdown.clone()));
    it.add(input("now", "*", twin(json!({"n": 1}), json!({})))).await.unwrap();
    assert_eq!(it.ended("now").await.status, ScheduledJobStatus::Completed);

    let later = it.world.clock.now().plus(Duration::from_secs(3600));
    let waiting = JobInput { start: Some(later), ..input("later", "*", twin(json!({"n": 2}), json!({}))) };
    it.add(waiting).await.unwrap();
    it.add(input("other", "*", twin(json!({"n": 3}), json!({})))).await.unwrap();
    it.ended("other").await;
    assert_eq!(it.job("later").await.status, ScheduledJobStatus::Scheduled);
    it.world.clock.advance(Duration::from_secs(3600));
    it.service().jobs.tell();
    assert_eq!(it.ended("later").await.status, ScheduledJobStatus::Completed);
    assert_eq!(it.tags("a").await[0], json!({"n": 2}));

    let days = |days: u64| it.world.clock.advance(Duration::from_secs(days * 24 * 3600));
    days(30);
    it.service().jobs.tell();
    while it.service().job(&Caller::admin(), &it.hub, "later").await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert!(it.query("SELECT * FROM devices.jobs").await.is_empty());
    shutdown.cancel();
    working.await.unwrap();
}

#[tokio::test]
async fn many_devices_are_worked_on_in_parts() {
    let devices: Vec<String> = (0..700).map(|n| format!("d{n:03}")).collect();
    let it = Hubs::new(&devices.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut links = Vec::new();
    for id in &devices {
        links.push(it.connect(id).await);
    }
    let job = it.done(input("j", "*", method("echo", None))).await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(700, 0, 700)));
    assert!(links.iter().all(|(_, link)| link.asked.lock().len() == 1));
    assert_eq!(
        it.rows("j").await.iter().filter(|row| row.1 == DeviceJobStatus::Completed.as_str()).count(),
        700
    );
}
