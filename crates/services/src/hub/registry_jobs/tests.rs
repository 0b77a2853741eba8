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
use crate::hub::DeviceInput;
use pollux_model::Etag;
use pollux_model::resource::PolicyRight;

/// `create d1`, `update d1`, `delete d1`.
struct Words;

impl IdentityLines for Words {
    fn read(&self, line: &[u8]) -> Result<ImportLine, (String, Error)> {
        let text = String::from_utf8_lossy(line).into_owned();
        let bad = || (String::new(), Error::invalid("no words"));
        let (verb, id) = text.split_once(' ').ok_or_else(bad)?;
        let mode = match verb {
            "create" => ImportMode::Create,
            "update" => ImportMode::Update(None),
            "delete" => ImportMode::Delete(None),
            _ => return Err((id.to_owned(), Error::invalid("no verb"))),
        };
        let (status_reason, authentication) = Default::default();
        let status = (verb == "update").then_some(Status::Disabled);
        let input = DeviceInput {
            id: id.to_owned(),
            status,
            status_reason,
            authentication,
            iot_edge: false,
            scopes: crate::hub::Scopes::default(),
        };
        let twin = TwinInput::default();
        Ok(ImportLine { device: id.to_owned(), mode, identity: Imported::Device(input), twin })
    }

    fn write(&self, device: &Device, keys: bool) -> String {
        format!("{} {keys}", device.id)
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
        let jobs = Reach { hosts: Vec::new(), folder: Some(folder.path().to_owned()) };
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

/// As a crash leaves it: what the last batch did is there, and how far the job had come is not.
#[tokio::test]
async fn an_import_that_was_cut_off_tells_nothing_twice() {
    let mut jobs = Jobs::new().await;
    jobs.import("create gone\n").await;
    jobs.stop().await;
    std::fs::write(jobs.path("devices.txt"), "create d1\ncreate d2\ndelete gone\ncreate d3\ncreate d3\n")
        .unwrap();
    let mut job = jobs.add(jobs.input(Direction::Import)).await.unwrap();
    let before = Expect::Etag(job.etag.clone());
    (job.status, job.etag) = (JobStatus::Running, Etag::new("again"));
    job.progress.offset = 10;
    let put = Write::PutJob { twins: jobs.hub.name.clone(), job: Box::new(job.clone()), expect: before };
    jobs.service().context.store.commit(Batch::from(put)).await.unwrap();
    std::fs::write(jobs.path("importErrors.log"), "earlier\n").unwrap();
    for line in ["create d1", "create d2", "delete gone"] {
        let ImportLine { mode, identity, twin, .. } = Words.read(line.as_bytes()).unwrap();
        jobs.service().import_device(&jobs.admin, &jobs.hub, mode, (identity, twin)).await.unwrap();
    }
    jobs.begin();
    let ended = jobs.ended(&job.id).await;
    assert_eq!((ended.status, ended.progress.failed), (JobStatus::Succeeded, 1));
    assert_eq!(jobs.errors(), "earlier\nd3: DeviceExists\n");
    assert_eq!(jobs.ids().await, ["d1", "d2", "d3"]);
}
