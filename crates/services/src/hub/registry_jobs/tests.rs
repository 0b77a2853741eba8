//! Jobs over files of an open folder, in words of the test's own. The API's words are tested at the edge, blobs by the conformance
//! suite.

use std::path::PathBuf;

use pollux_model::device::Status;
use pollux_store::{Batch, Expect, Write};
use tokio::task::JoinHandle;

use super::*;
use crate::Settings;
use crate::blobs::Reach;
use crate::caller::{Caller, Right};
use crate::fixture::World;
use crate::hub::{DeviceInput, Scopes};
use pollux_model::Etag;
use pollux_model::resource::PolicyRight;

/// `create d1`, `update d1`, `delete d1`; `update-if d1 etag`; `tagged d1`; `edge d1 scope-above`, `leaf d1 scope-above`.
struct Words;

impl IdentityLines for Words {
    fn read(&self, line: &[u8]) -> Result<ImportLine, (String, Error)> {
        let text = String::from_utf8_lossy(line).into_owned();
        let bad = || (String::new(), Error::invalid("no words"));
        let (verb, id) = text.split_once(' ').ok_or_else(bad)?;
        let (id, more) = id.split_once(' ').unwrap_or((id, ""));
        let mode = match verb {
            "create" | "tagged" | "edge" | "leaf" => ImportMode::Create,
            "update" => ImportMode::Update(None),
            "update-if" => ImportMode::Update(Some(Etag::new(more))),
            "delete" => ImportMode::Delete(None),
            _ => return Err((id.to_owned(), Error::invalid("no verb"))),
        };
        let (status_reason, authentication) = Default::default();
        let status = verb.starts_with("update").then_some(Status::Disabled);
        let above = (!more.is_empty()).then(|| more.to_owned());
        let scopes = match verb {
            "edge" => Scopes {
                device: Some(format!("ms-azure-iot-edge://{id}-1")),
                parents: above.map(|one| vec![one]),
            },
            "leaf" => Scopes { device: above, parents: None },
            _ => Scopes::default(),
        };
        let input = DeviceInput {
            id: id.to_owned(),
            status,
            status_reason,
            authentication,
            iot_edge: verb == "edge",
            scopes,
        };
        let tags = serde_json::json!({ "site": "x" }).as_object().cloned();
        let twin = TwinInput { tags: tags.filter(|_| verb == "tagged"), ..TwinInput::default() };
        Ok(ImportLine { device: id.to_owned(), mode, identity: Imported::Device(input), twin })
    }

    fn write(&self, device: &Device, shown: LineParts) -> String {
        format!("{} {}{}", device.id, shown.keys, if shown.twin { "" } else { " bare" })
    }

    fn error(&self, device: &str, error: &Error) -> String {
        format!("{device}: {:?}", error.code)
    }
}

struct Jobs {
    world: World,
    hub: Arc<Resource>,
    folder: tempfile::TempDir,
    admin: Caller,
    running: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Jobs {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("c")).unwrap();
        let hosts = vec!["127.0.0.1".to_owned()];
        let jobs = Reach { hosts, folder: Some(folder.path().to_owned()) };
        let world = World::with(Settings { jobs, ..Settings::default() }, &[]).await;
        let hub = world.resource(ResourceKind::Hub, "hub1");
        let mut jobs = Self { world, hub, folder, admin: Caller::admin(), running: None };
        jobs.service().speak(Arc::new(Words));
        jobs.begin();
        jobs
    }

    fn service(&self) -> &Arc<Hub> {
        &self.world.services.hub
    }

    fn begin(&mut self) {
        let stop = CancellationToken::new();
        let work = Arc::clone(self.service()).run_registry_jobs(stop.clone());
        self.running = Some((stop, tokio::spawn(work)));
    }

    async fn stop(&mut self) {
        if let Some((stop, running)) = self.running.take() {
            stop.cancel();
            running.await.unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("c").join(name)
    }

    fn input(&self, direction: Direction) -> RegistryJobInput {
        let uri = Some(Setting(format!("file://{}", self.folder.path().join("c").display())));
        RegistryJobInput {
            direction,
            input_container: uri.clone(),
            output_container: uri,
            input_blob: None,
            output_blob: None,
            exclude_keys: false,
            by_identity: false,
        }
    }

    async fn add(&self, input: RegistryJobInput) -> Result<Job> {
        self.service().create_registry_job(&self.admin, &self.hub, input).await
    }

    async fn ended(&self, id: &str) -> Job {
        loop {
            let job = self.service().registry_job(&self.admin, &self.hub, id).await.unwrap();
            if job.status.is_over() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn import(&self, text: &str) -> Job {
        std::fs::write(self.path("devices.txt"), text).unwrap();
        let job = self.add(self.input(Direction::Import)).await.unwrap();
        self.ended(&job.id).await
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.path("importErrors.log")).unwrap()
    }

    async fn ids(&self) -> Vec<String> {
        let page = self.service().devices(&self.admin, &self.hub, None, 1000).await.unwrap();
        page.items.into_iter().map(|device| device.id.to_string()).collect()
    }
}

#[tokio::test]
async fn identities_are_imported_and_what_fails_is_told() {
    let mut jobs = Jobs::new().await;
    let job = jobs
        .import("create d1\r\ncreate d2\n\ncreate d1\nupdate d2\nnonsense\nfly d3\ndelete d9\ncreate d4")
        .await;
    assert_eq!((job.status, job.progress.failed), (JobStatus::Succeeded, 4));
    assert_eq!(job.registry.unwrap().total, job.progress.offset);
    assert_eq!(
        jobs.errors(),
        "d1: DeviceExists\n: InvalidArgument\nd3: InvalidArgument\nd9: DeviceNotFound\n"
    );
    assert_eq!(jobs.ids().await, ["d1", "d2", "d4"]);
    let d2 = jobs.service().device(&jobs.admin, &jobs.hub, "d2").await.unwrap();
    assert_eq!(d2.identity.status, Status::Disabled);
    // The next one begins with an empty log.
    assert_eq!(jobs.import("delete d1\ndelete d2").await.status, JobStatus::Succeeded);
    assert_eq!((jobs.errors().as_str(), jobs.ids().await), ("", vec!["d4".to_owned()]));
    jobs.stop().await;
}

#[tokio::test]
async fn identities_are_exported_in_order() {
    let jobs = Jobs::new().await;
    jobs.import(&(0..700).map(|n| format!("create d{n:03}\n")).collect::<String>()).await;
    let mut input = jobs.input(Direction::Export);
    (input.output_blob, input.exclude_keys) = (Some("out/all.txt".to_owned()), true);
    let job = jobs.add(input).await.unwrap();
    let job = jobs.ended(&job.id).await;
    assert_eq!((job.status, job.progress.offset), (JobStatus::Succeeded, 700));
    let wanted: String = (0..700).map(|n| format!("d{n:03} false\r\n")).collect();
    assert_eq!(std::fs::read_to_string(jobs.path("out/all.txt")).unwrap(), wanted);
    let all = jobs.service().registry_jobs(&jobs.admin, &jobs.hub).await.unwrap();
    assert_eq!(all.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_is_refused_or_fails_with_a_reason() {
    let mut jobs = Jobs::new().await;
    let missing = jobs.add(jobs.input(Direction::Import)).await.unwrap();
    let failed = jobs.ended(&missing.id).await;
    assert_eq!(
        (failed.status, failed.error.unwrap().code.as_str()),
        (JobStatus::Failed, "InputBlobNotReadable")
    );
    let mut refused = Vec::new();
    for change in [
        (|input| input.output_container = None) as fn(&mut RegistryJobInput),
        |input| input.input_container = None,
        |input| input.input_container = Some(Setting("file:///etc".to_owned())),
        |input| input.output_container = Some(Setting("http://10.0.0.1/c".to_owned())),
        |input| input.output_blob = Some("../x".to_owned()),
        |input| input.by_identity = true,
    ] {
        let mut input = jobs.input(Direction::Import);
        change(&mut input);
        refused.push(jobs.add(input).await.unwrap_err().code);
    }
    assert_eq!(refused, [ErrorCode::InvalidArgument; 6]);
    // Nobody works: the first stays, and keeps others out until it is cancelled.
    jobs.stop().await;
    let first = jobs.add(jobs.input(Direction::Export)).await.unwrap();
    let second = jobs.add(jobs.input(Direction::Export)).await.unwrap_err();
    assert_eq!(second.code, ErrorCode::JobLimitReached);
    let cancelled = jobs.service().cancel_registry_job(&jobs.admin, &jobs.hub, &first.id).await.unwrap();
    assert_eq!(cancelled.status, JobStatus::Cancelling);
    jobs.begin();
    assert_eq!(jobs.ended(&first.id).await.status, JobStatus::Cancelled);
    assert!(!jobs.path("devices.txt").exists());
    let (kind, name) = (ResourceKind::Hub, jobs.hub.name.clone());
    let identity = crate::caller::Identity::Admin;
    let reader = Caller::on(identity, kind, name, vec![Right::Policy(PolicyRight::RegistryRead)]);
    let input = jobs.input(Direction::Export);
    let refused = jobs.service().create_registry_job(&reader, &jobs.hub, input).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Forbidden);
    let unknown = jobs.service().registry_job(&reader, &jobs.hub, "x").await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::ImportJobNotFound);
}

impl Jobs {
    /// An import that is under way and has come so far, while nobody works on it.
    async fn cut_off(&mut self, text: &str, offset: u64) -> Job {
        self.stop().await;
        std::fs::write(self.path("devices.txt"), text).unwrap();
        let mut job = self.add(self.input(Direction::Import)).await.unwrap();
        let before = Expect::Etag(job.etag.clone());
        (job.status, job.etag) = (JobStatus::Running, Etag::new("again"));
        job.progress.offset = offset;
        let put = Write::PutJob { twins: self.hub.name.clone(), job: Box::new(job.clone()), expect: before };
        self.service().context.store.commit(Batch::from(put)).await.unwrap();
        std::fs::write(self.path("importErrors.log"), "earlier\n").unwrap();
        job
    }

    /// What the batch did that was cut off.
    async fn did(&self, lines: &[&str]) {
        for line in lines {
            let ImportLine { mode, identity, twin, .. } = Words.read(line.as_bytes()).unwrap();
            self.service().import_device(&self.admin, &self.hub, mode, (identity, twin)).await.unwrap();
        }
    }

    async fn device(&self, id: &str) -> Device {
        self.service().device(&self.admin, &self.hub, id).await.unwrap()
    }
}

/// As a crash leaves it: what the last batch did is there, and how far the job had come is not.
#[tokio::test]
async fn an_import_that_was_cut_off_tells_nothing_twice() {
    let mut jobs = Jobs::new().await;
    jobs.import("create gone\n").await;
    let text = "create d1\ncreate d2\ndelete gone\ncreate d3\ncreate d3\n";
    let job = jobs.cut_off(text, 10).await;
    jobs.did(&["create d1", "create d2", "delete gone"]).await;
    jobs.begin();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 1));
    assert_eq!(jobs.errors(), "earlier\nd3: DeviceExists\n");
    assert_eq!(jobs.ids().await, ["d1", "d2", "d3"]);
}

/// The batch need not have the same lines again: here the file comes in two parts, and the second line is in the second one.
#[tokio::test]
async fn all_lines_of_a_batch_that_was_cut_off_may_be_done() {
    let mut jobs = Jobs::new().await;
    let text = format!("create d1\ncreate d2{}\ncreate d3\n", " ".repeat(300 * 1024));
    let job = jobs.cut_off(&text, 0).await;
    jobs.did(&["create d1", "create d2", "create d3"]).await;
    jobs.begin();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 0));
    assert_eq!(jobs.errors(), "earlier\n");
}

#[tokio::test]
async fn what_was_there_before_the_batch_was_not_done_by_it() {
    let mut jobs = Jobs::new().await;
    jobs.import("create old\ncreate changed\n").await;
    jobs.world.clock.advance(Duration::from_secs(60));
    let etag = jobs.device("changed").await.identity.etag;
    let text = format!("create old\nupdate-if changed {etag}\nupdate-if old nonsense\n");
    let job = jobs.cut_off(&text, 0).await;
    jobs.world.clock.advance(Duration::from_secs(1));
    // Of the three lines one was carried out; somebody else changed a device.
    jobs.did(&[&format!("update-if changed {etag}"), "update old"]).await;
    let other = Words.read(b"create old").unwrap();
    let Imported::Device(mut input) = other.identity else { panic!() };
    input.status = Some(Status::Enabled);
    jobs.service().update_device(&jobs.admin, &jobs.hub, input, None).await.unwrap();
    jobs.begin();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 2));
    assert_eq!(jobs.errors(), "earlier\nold: DeviceExists\nold: PreconditionFailed\n");
}

/// The identity was made before the crash, and its twin was not written.
#[tokio::test]
async fn an_import_that_was_cut_off_writes_twins() {
    let mut jobs = Jobs::new().await;
    let job = jobs.cut_off("tagged d1\n", 0).await;
    jobs.did(&["create d1"]).await;
    jobs.begin();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 0));
    assert_eq!(jobs.device("d1").await.twin.tags["site"], "x");
}

/// A tier bounds the hub: lines wait for their turn and do not fail.
#[tokio::test]
async fn lines_wait_for_their_turn() {
    let mut jobs = Jobs::new().await;
    let sku = serde_json::json!({ "name": "hub1", "sku": { "name": "S1", "capacity": 1 } });
    let declared = crate::resources::Declared::read(ResourceKind::Hub, Some("hub1"), sku).unwrap();
    let resources = &jobs.world.services.resources;
    resources.change(&jobs.admin, &declared, None).await.unwrap();
    jobs.stop().await;
    jobs.hub = jobs.world.resource(ResourceKind::Hub, "hub1");
    // As many as a minute lets through, and some more.
    std::fs::write(
        jobs.path("devices.txt"),
        (0..110).map(|n| format!("create d{n:03}\n")).collect::<String>(),
    )
    .unwrap();
    let job = jobs.add(jobs.input(Direction::Import)).await.unwrap();
    jobs.begin();
    while jobs.service().context.store.count_devices(&jobs.hub.name).await.unwrap().0 < 100 {
        tokio::task::yield_now().await;
    }
    jobs.world.clock.advance(Duration::from_secs(60));
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 0));
    assert_eq!(jobs.service().context.store.count_devices(&jobs.hub.name).await.unwrap().0, 110);
}

#[tokio::test]
async fn a_storage_that_does_not_answer_fails_the_job_in_the_end() {
    let jobs = Jobs::new().await;
    // A port that nobody listens at any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for direction in [Direction::Export, Direction::Import] {
        let uri = Some(Setting(format!("http://127.0.0.1:{port}/c?sig=secret")));
        let mut input = jobs.input(direction);
        (input.input_container, input.output_container) = (uri.clone(), uri);
        let job = jobs.add(input).await.unwrap();
        let ended = loop {
            let job = jobs.service().registry_job(&jobs.admin, &jobs.hub, &job.id).await.unwrap();
            if job.status.is_over() {
                break job;
            }
            jobs.world.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        };
        let error = ended.error.unwrap();
        assert_eq!(ended.status, JobStatus::Failed);
        assert!(error.message.contains("the storage does not answer"), "{error:?}");
        assert!(!error.message.contains("secret"), "{error:?}");
    }
}

/// Whoever may not read twins has none of them exported for him.
#[tokio::test]
async fn an_export_shows_twins_to_those_who_may_read_them() {
    let jobs = Jobs::new().await;
    jobs.import("create d1\n").await;
    let (kind, name) = (ResourceKind::Hub, jobs.hub.name.clone());
    let rights = vec![Right::Policy(PolicyRight::RegistryRead), Right::Policy(PolicyRight::RegistryWrite)];
    let writer = Caller::on(crate::caller::Identity::Admin, kind, name, rights);
    let input = jobs.input(Direction::Export);
    let job = jobs.service().create_registry_job(&writer, &jobs.hub, input).await.unwrap();
    assert_eq!(jobs.ended(&job.id).await.status, JobStatus::Succeeded);
    assert_eq!(std::fs::read_to_string(jobs.path("devices.txt")).unwrap(), "d1 true bare\r\n");
}

/// Scopes are made with their edge devices: those in the file are of another hub, or of these devices before they were deleted.
#[tokio::test]
async fn children_find_their_parents_as_they_are_now() {
    let jobs = Jobs::new().await;
    let text = "edge z-top\nedge m-inner ms-azure-iot-edge://z-top-1\nleaf a-leaf ms-azure-iot-edge://m-inner-1\n\
                leaf b-lost ms-azure-iot-edge://nobody-1\n";
    let job = jobs.import(text).await;
    assert_eq!((job.status, job.progress.failed), (JobStatus::Succeeded, 1), "{}", jobs.errors());
    assert_eq!(jobs.errors(), "b-lost: InvalidArgument\n");
    let (top, inner, leaf) =
        (jobs.device("z-top").await, jobs.device("m-inner").await, jobs.device("a-leaf").await);
    assert_eq!(inner.identity.parent_scopes, top.identity.device_scope.into_iter().collect::<Vec<_>>());
    assert_eq!(leaf.identity.device_scope, inner.identity.device_scope);
    // Parents come before their children, whatever their ids.
    let job = jobs.add(jobs.input(Direction::Export)).await.unwrap();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.offset), (JobStatus::Succeeded, 3));
    let written = std::fs::read_to_string(jobs.path("devices.txt")).unwrap();
    let mut order: Vec<_> = written.lines().filter_map(|line| line.split(' ').next()).collect();
    // With the two modules that each edge device has.
    assert_eq!(order.len(), 7);
    order.dedup();
    assert_eq!(order, ["z-top", "m-inner", "a-leaf"]);
}
