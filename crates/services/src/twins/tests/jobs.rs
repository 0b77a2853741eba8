//! Import and delete jobs, over files of an open folder. What blobs add is shown by the conformance suite.

use pollux_model::job::{Job, JobKind, JobStatus};
use pollux_model::resource::Setting;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::blobs::Blobs;
use crate::twins::{AddDeletion, AddImport, JobSettings, Paging, PatchTwin};

/// A world whose jobs may use its folder.
struct Jobs {
    world: World,
    twins: Arc<Twins>,
    shutdown: CancellationToken,
    running: Option<JoinHandle<()>>,
}

impl Jobs {
    async fn new() -> Self {
        let world = World::new().await;
        std::fs::create_dir(world.folder.path().join("jobs")).unwrap();
        Self::over(world)
    }

    fn over(world: World) -> Self {
        let settings = JobSettings { hosts: Vec::new(), folder: Some(world.folder.path().join("jobs")) };
        let context = &world.twins.context;
        let blobs = Arc::new(Blobs::new(Arc::clone(context), settings, None));
        let twins = Arc::new(Twins::with(Arc::clone(context), blobs));
        Self { world, twins, shutdown: CancellationToken::new(), running: None }
    }

    /// From here on this node works.
    fn begin(&mut self) {
        self.shutdown = CancellationToken::new();
        self.running = Some(tokio::spawn(Arc::clone(&self.twins).run_jobs(self.shutdown.clone())));
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            running.await.unwrap();
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.world.folder.path().join("jobs").join(name)
    }

    async fn add(&self, id: &str, text: &str) -> Result<Job, Error> {
        std::fs::write(self.path(id), text).unwrap();
        let url = |name: String| Setting(format!("file://{}", self.path(&name).display()));
        let add =
            AddImport { id: id.to_owned(), input: url(id.to_owned()), output: url(format!("{id}.log")) };
        self.twins.add_import(&self.world.admin, &self.world.instance, add).await
    }

    async fn job(&self, kind: JobKind, id: &str) -> Job {
        self.twins.job(&self.world.admin, &self.world.instance, kind, id).await.unwrap()
    }

    async fn ended(&self, kind: JobKind, id: &str) -> Job {
        loop {
            let job = self.job(kind, id).await;
            if job.status.is_over() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    fn log(&self, id: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(&format!("{id}.log"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    async fn counts(&self) -> (u64, u64, u64) {
        let counts = self.twins.graph_counts(&self.world.admin, &self.world.instance).await.unwrap();
        (counts.models, counts.twins, counts.relationships)
    }
}

fn rooms(count: usize) -> String {
    let mut text =
        "{\"Section\":\"Header\"}\n{\"fileVersion\":\"1.0.0\"}\n{\"Section\":\"Twins\"}\n".to_owned();
    for number in 0..count {
        let mut twin = room();
        twin["$dtId"] = json!(format!("r{number}"));
        text.push_str(&format!("{twin}\n"));
    }
    text
}

#[tokio::test]
async fn a_job_imports_and_tells_in_its_log() {
    let mut jobs = Jobs::new().await;
    let added = jobs.add("one", &(rooms(2500) + "{}\n")).await.unwrap();
    assert_eq!(added.status, JobStatus::NotStarted);
    assert_eq!(jobs.add("two", "").await.unwrap_err().code, ErrorCode::JobLimitReached);
    jobs.begin();
    let job = jobs.ended(JobKind::Imports, "one").await;
    assert_eq!((job.status, job.error.unwrap().code), (JobStatus::Failed, "PartialSuccess".to_owned()));
    let progress = &job.progress;
    assert_eq!((progress.twins, progress.failed, progress.line), (2500, 1, 2504));
    let details: Vec<Value> = jobs.log("one").into_iter().map(|mut line| line["details"].take()).collect();
    assert_eq!(details[0], json!({ "status": "Started" }));
    assert_eq!(details[1], json!({ "section": "Twins", "status": "Started" }));
    assert_eq!((&details[2]["line"], &details[2]["code"]), (&json!(2504), &json!("InvalidArgument")));
    assert_eq!(details[3]["status"], "Failed");
    assert_eq!((details.len(), &details[4]["twins"]), (5, &json!(2500)));
    assert_eq!(jobs.add("one", "").await.unwrap_err().code, ErrorCode::ValidationFailed, "its id is in use");
    let all = jobs.twins.jobs(&jobs.world.admin, &jobs.world.instance, JobKind::Imports, Paging::default());
    assert_eq!(all.await.unwrap().items.len(), 1);
    jobs.twins.delete_import(&jobs.world.admin, &jobs.world.instance, "one").await.unwrap();
    jobs.add("one", &rooms(1)).await.unwrap();
    assert_eq!(jobs.ended(JobKind::Imports, "one").await.status, JobStatus::Succeeded);
    jobs.stop().await;
}

#[tokio::test]
async fn a_job_that_was_cut_off_goes_on_where_it_stood() {
    let mut jobs = Jobs::new().await;
    jobs.add("long", &rooms(20_000)).await.unwrap();
    jobs.begin();
    while jobs.job(JobKind::Imports, "long").await.progress.twins == 0 {
        tokio::task::yield_now().await;
    }
    jobs.stop().await;
    let stood = jobs.job(JobKind::Imports, "long").await.progress;
    let Jobs { world, twins, .. } = jobs;
    // Blocks that were being read hold the store a moment longer.
    while Arc::strong_count(&twins) > 1 {
        tokio::task::yield_now().await;
    }
    drop(twins);
    let mut jobs = Jobs::over(world.again().await);
    jobs.begin();
    let job = jobs.ended(JobKind::Imports, "long").await;
    jobs.stop().await;
    assert_eq!((job.status, job.progress.twins, job.progress.unchanged), (JobStatus::Succeeded, 20_000, 0));
    assert!(stood.twins >= 1000 && job.progress.line > stood.line, "{stood:?}");
    assert_eq!(jobs.counts().await.1, 20_000);
    assert!(jobs.log("long").iter().any(|line| line["details"]["status"] == "Resumed"));
}

#[tokio::test]
async fn a_job_that_is_cancelled_ends_where_it_stands() {
    let mut jobs = Jobs::new().await;
    let (admin, instance) = (jobs.world.admin.clone(), jobs.world.instance.clone());
    jobs.add("long", &rooms(100_000)).await.unwrap();
    let refused = jobs.twins.delete_import(&admin, &instance, "long").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ValidationFailed);
    jobs.begin();
    while jobs.job(JobKind::Imports, "long").await.progress.twins == 0 {
        tokio::task::yield_now().await;
    }
    let job = jobs.twins.cancel_import(&admin, &instance, "long").await.unwrap();
    assert_eq!(job.status, JobStatus::Cancelling);
    let job = jobs.ended(JobKind::Imports, "long").await;
    assert_eq!(job.status, JobStatus::Cancelled);
    assert_eq!(jobs.counts().await.1, job.progress.twins, "what was counted is what is there");
    let again = jobs.twins.cancel_import(&admin, &instance, "long").await.unwrap_err();
    assert_eq!(again.code, ErrorCode::ValidationFailed);
    jobs.stop().await;
}

#[tokio::test]
async fn a_delete_job_empties_the_instance() {
    let mut jobs = Jobs::new().await;
    jobs.world.put("f", floor()).await.unwrap();
    for number in 0..20 {
        let id = format!("r{number}");
        jobs.world.put(&id, room()).await.unwrap();
        jobs.world
            .relate("f", &id, json!({ "$relationshipName": "contains", "$targetId": id }))
            .await
            .unwrap();
    }
    let (admin, instance) = (jobs.world.admin.clone(), jobs.world.instance.clone());
    let bad = AddDeletion { id: None, minutes: Some(1) };
    assert_eq!(
        jobs.twins.add_deletion(&admin, &instance, bad).await.unwrap_err().code,
        ErrorCode::ValidationFailed
    );
    let add = AddDeletion { id: Some("all".to_owned()), minutes: Some(15) };
    jobs.twins.add_deletion(&admin, &instance, add).await.unwrap();
    jobs.begin();
    let job = jobs.ended(JobKind::Deletions, "all").await;
    jobs.stop().await;
    assert_eq!((job.status, &job.error), (JobStatus::Succeeded, &None));
    assert_eq!((job.progress.models, job.progress.twins, job.progress.relationships), (4, 21, 20));
    assert_eq!(jobs.counts().await, (0, 0, 0));
}

#[tokio::test]
async fn links_do_not_lead_out_of_the_folder() {
    let mut jobs = Jobs::new().await;
    let secret = jobs.world.folder.path().join("secret");
    std::fs::write(&secret, rooms(1)).unwrap();
    std::os::unix::fs::symlink(&secret, jobs.path("link")).unwrap();
    let url = |name: &str| Setting(format!("file://{}", jobs.path(name).display()));
    for (id, input, output, code) in [
        ("in", url("link"), url("in.log"), "InputBlobNotReadable"),
        ("out", url("in.log"), url("link"), "OutputBlobNotWritable"),
    ] {
        let add = AddImport { id: id.to_owned(), input, output };
        jobs.twins.add_import(&jobs.world.admin, &jobs.world.instance, add).await.unwrap();
        jobs.begin();
        let job = jobs.ended(JobKind::Imports, id).await;
        jobs.stop().await;
        assert_eq!(job.error.unwrap().code, code);
    }
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), rooms(1));
}

/// The version that a change ends is kept by whoever ends it: a job that deletes what it read before the change would keep
/// the same one again, and the last one never.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_job_keeps_each_last_version_whoever_writes_meanwhile() {
    let mut jobs = Jobs::new().await;
    jobs.world.keep(24);

    for number in 0..12 {
        jobs.world.put(&format!("r{number}"), room()).await.unwrap();
    }
    let writers = (0..12).map(|number| {
        let (twins, admin) = (Arc::clone(&jobs.twins), jobs.world.admin.clone());
        let instance = jobs.world.instance.clone();
        tokio::spawn(async move {
            let mut etags = Vec::new();
            loop {
                let value = json!([{ "op": "add", "path": "/Temperature", "value": etags.len() }]);
                let patch = PatchTwin { id: format!("r{number}"), patch: value, if_match: None };
                match twins.patch_twin(&admin, &instance, patch).await {
                    Ok(etag) => etags.push(format!("W/\"{etag}\"")),
                    Err(error) => {
                        assert_eq!(error.code, ErrorCode::TwinNotFound, "{error}");
                        return etags;
                    }
                }
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let deletion = AddDeletion { id: Some("all".into()), minutes: None };
    jobs.twins.add_deletion(&jobs.world.admin, &jobs.world.instance, deletion).await.unwrap();
    jobs.begin();
    assert_eq!(jobs.ended(JobKind::Deletions, "all").await.status, JobStatus::Succeeded);
    for (number, writer) in writers.into_iter().enumerate() {
        let acknowledged = writer.await.unwrap();
        let versions = jobs.world.versions(&format!("r{number}"), None).await.unwrap();
        let etag = |version: &crate::twins::Version| version.document["$etag"].as_str().unwrap().to_owned();
        let kept: Vec<String> = versions.iter().map(etag).collect();
        let last = acknowledged.last().cloned().unwrap_or_else(|| kept[0].clone());
        assert_eq!(kept.len(), acknowledged.len() + 1, "each version once, and the first");
        assert!(acknowledged.iter().all(|etag| kept.contains(etag)));
        let gone: Vec<String> = versions.iter().filter(|version| version.deleted).map(etag).collect();
        assert_eq!(gone, [last]);
    }
    jobs.stop().await;
}

#[tokio::test]
async fn of_too_many_jobs_that_are_over_the_oldest_goes() {
    let mut jobs = Jobs::new().await;
    let (store, twins) = (&jobs.twins.context.store, &jobs.world.instance);
    let over = |number: i64| {
        let time = Timestamp::from_secs(1_600_000_000 + number);
        let deletion = Job {
            id: format!("job{number}"),
            kind: JobKind::Deletions,
            status: JobStatus::Succeeded,
            etag: Etag::new("1"),
            input: None,
            output: None,
            created: time,
            last_action: time,
            finished: Some(time),
            purge: None,
            deadline: None,
            error: None,
            progress: pollux_model::job::JobProgress::default(),
            registry: None,
        };
        let expect = pollux_store::Expect::Absent;
        pollux_store::Write::PutJob { twins: twins.clone(), job: Box::new(deletion), expect }
    };
    store.commit(pollux_store::Batch { writes: (0..1000).map(over).collect() }).await.unwrap();
    let add = AddDeletion { id: Some("one-more".into()), minutes: None };
    jobs.twins.add_deletion(&jobs.world.admin, twins, add).await.unwrap();
    let job = |id: &'static str| jobs.twins.job(&jobs.world.admin, twins, JobKind::Deletions, id);
    assert_eq!(code(job("job0").await), ErrorCode::DeleteJobNotFound);
    assert_eq!(job("job1").await.unwrap().status, JobStatus::Succeeded);
    jobs.begin();
    assert_eq!(jobs.ended(JobKind::Deletions, "one-more").await.status, JobStatus::Succeeded);
    jobs.stop().await;
}
