//! Jobs that stop and are taken up again, that wait for their turn, and that are forgotten.

use pollux_bus::Exchange;
use pollux_model::resource::{Properties, Sku};
use pollux_model::scheduled_job::Selection;
use pollux_store::scheduled_jobs::DeviceJobFilter;
use pollux_store::{Batch, Write};

use super::*;
use crate::hub::Operation;
use crate::hub::connections::tests::node;

impl Hubs {
    /// The same hub, held to the tier S1, with so many turns of jobs left for now.
    async fn bounded(devices: &[&str], turns: usize) -> Self {
        let mut it = Self::new(devices).await;
        let mut hub = Resource::clone(&it.hub);
        let Properties::Hub(properties) = &mut hub.properties else { panic!("no hub") };
        properties.sku = Some(Sku { name: "S1".parse().unwrap(), capacity: 1 });
        it.hub = Arc::new(hub);
        // What ten a second come to in a minute.
        it.service().count_job_turns(&it.hub, 600 - turns);
        it
    }

    /// Waits until so many devices are done; no more are then.
    async fn done_are(&self, devices: u64) {
        while self.stands("j").await.succeeded < devices {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.stands("j").await.succeeded, devices);
    }

    /// As the store has it: whoever asks the service is bounded too.
    async fn stands(&self, id: &str) -> JobStatistics {
        self.begun(id).await.job.statistics
    }

    /// As time goes by while jobs wait.
    fn pass(&self, seconds: u64) {
        self.world.clock.advance(Duration::from_secs(seconds));
        self.service().jobs.tell();
    }

    async fn row_count(&self) -> usize {
        let store = &self.world.services.context.store;
        store.device_jobs(&self.hub.name, DeviceJobFilter::default(), None, 10_000).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn a_choice_that_is_taken_up_again_chooses_each_device_once() {
    let devices: Vec<String> = (0..130).map(|n| format!("d{n:03}")).collect();
    let it = Hubs::new(&devices.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // As a caller may name them: in no order, and some twice.
    let named: Vec<String> =
        devices.iter().rev().chain(&devices[40..90]).map(|id| format!("'{id}'")).collect();
    let condition = format!("deviceId IN [{}]", named.join(", "));
    it.add(input("j", &condition, twin(json!({"t": 1}), json!({})))).await.unwrap();
    it.begun("j").await.begin_job().await.unwrap();
    // The node is gone after each commit that chooses.
    let mut stops = 0;
    while it.job("j").await.selection != Selection::Done {
        let before = it.job("j").await.etag;
        tokio::select! {
            biased;
            ended = async { it.begun("j").await.select().await } => ended.unwrap(),
            () = async { while it.job("j").await.etag == before { tokio::task::yield_now().await; } } => {}
        }
        stops += 1;
    }
    assert!(stops > 1, "it was never taken up again");
    assert_eq!((it.job("j").await.statistics.devices, it.row_count().await), (130, 130));
    it.begun("j").await.run().await.unwrap();
    assert_eq!(it.job("j").await.statistics, counts(130, 0, 130));
    for id in &devices {
        assert_eq!(it.tags(id).await[0], json!({"t": 1}), "{id}");
    }
}

/// A job whose devices are chosen is not judged by how long the choice took: it ends, and its devices hear why.
#[tokio::test]
async fn a_job_that_is_taken_up_too_late_is_over_and_has_not_failed() {
    let it = Hubs::new(&["a"]).await;
    it.add(JobInput { max_execution_seconds: Some(20), ..input("j", "*", method("echo", None)) })
        .await
        .unwrap();
    let mut begun = it.begun("j").await;
    begun.begin_job().await.unwrap();
    begun.select().await.unwrap();
    it.world.clock.advance(Duration::from_secs(20));
    it.begun("j").await.run().await.unwrap();
    let job = it.job("j").await;
    assert_eq!((job.status, job.statistics), (ScheduledJobStatus::Completed, counts(1, 1, 0)));
    assert_eq!(it.rows("j").await, [row("a", "failed", Some("JobRunPreconditionFailed"))]);
}

#[tokio::test]
async fn a_tier_says_how_fast_twins_change() {
    let devices: Vec<String> = (0..30).map(|n| format!("d{n:03}")).collect();
    let it = Hubs::bounded(&devices.iter().map(String::as_str).collect::<Vec<_>>(), 10).await;
    it.add(input("j", "*", twin(json!({"t": 1}), json!({})))).await.unwrap();
    let time = async {
        it.done_are(10).await;
        it.pass(1);
        it.done_are(20).await;
        it.pass(2);
    };
    let (ended, ()) = tokio::join!(it.begun("j").await.run(), time);
    ended.unwrap();
    assert_eq!(it.job("j").await.statistics, counts(30, 0, 30), "it waits, and no device fails");
    // One that waits hears that it is cancelled.
    it.service().count_job_turns(&it.hub, 600);
    it.add(input("k", "*", twin(json!({"t": 2}), json!({})))).await.unwrap();
    let cancel = async {
        while it.stands("k").await.pending < 30 {
            tokio::task::yield_now().await;
        }
        it.cancel("k").await.unwrap();
    };
    let (ended, ()) = tokio::join!(it.begun("k").await.run(), cancel);
    ended.unwrap();
    assert_eq!(it.job("k").await.status, ScheduledJobStatus::Cancelled);
    // What others do with twins has a bucket of its own.
    it.service().throttle(&it.hub, Operation::TwinUpdate, 1).unwrap();
}

#[tokio::test]
async fn a_tier_says_how_fast_methods_are_called() {
    let it = Hubs::bounded(&["a", "away", "b", "c"], 2).await;
    let links = [it.connect("a").await, it.connect("b").await, it.connect("c").await];
    it.add(input("j", "*", method("echo", Some(0)))).await.unwrap();
    let time = async {
        it.done_are(2).await;
        it.pass(1);
    };
    let (ended, ()) = tokio::join!(it.begun("j").await.run(), time);
    ended.unwrap();
    assert_eq!(it.job("j").await.statistics, counts(4, 1, 3));
    assert!(links.iter().all(|(_, link)| link.asked.lock().len() == 1));
}

#[tokio::test]
async fn what_became_of_a_job_is_forgotten_in_pieces_while_others_go_on() {
    let it = Hubs::new(&["a"]).await;
    let done = it.done(input("old", "*", twin(json!({"n": 1}), json!({})))).await;
    // Far more than one commit, or one look, takes along.
    let template = it.begun("old").await;
    for chunk in (0..40_000).collect::<Vec<_>>().chunks(4000) {
        let put = |n: &i32| Write::PutDeviceJob {
            hub: it.hub.name.clone(),
            job: Box::new(template.row(address(&format!("d{n}")))),
        };
        let batch = Batch { writes: chunk.iter().map(put).collect() };
        it.world.services.context.store.commit(batch).await.unwrap();
    }
    it.world.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let (hub, store) = (it.service(), &it.world.services.context.store);
    assert!(!hub.forget(&it.hub.name, None).await.unwrap(), "others have their turn in between");
    let left = store.scheduled_job(&it.hub.name, "old").await.unwrap();
    assert_eq!(left.map(|job| job.etag), Some(done.etag), "its record goes last");
    while !hub.forget(&it.hub.name, None).await.unwrap() {}
    assert_eq!(store.scheduled_job(&it.hub.name, "old").await.unwrap(), None);
    assert_eq!(it.row_count().await, 0);
}

#[tokio::test]
async fn no_more_jobs_are_kept_than_may_be() {
    let world = World::differing(|context| context.limits.kept_jobs = 2).await;
    let it = Hubs::over(world, &["a"]).await;
    for id in ["one", "two", "three"] {
        it.done(input(id, "*", twin(json!({"n": 1}), json!({})))).await;
        it.world.clock.advance(Duration::from_secs(1));
    }
    assert!(it.service().forget(&it.hub.name, None).await.unwrap());
    let left = it.service().jobs(&Caller::admin(), &it.hub, JobFilter::default(), None, 9).await.unwrap();
    assert_eq!(left.items.into_iter().map(|job| job.id).collect::<Vec<_>>(), ["three", "two"]);
    assert_eq!(it.row_count().await, 2);
}

/// Nor does anybody wait for other nodes that a job tells.
#[tokio::test]
async fn turns_are_given_up_before_other_nodes_have_answered() {
    let exchange = Exchange::new();
    let world = World::among(&exchange).await;
    let it = Hubs::over(world, &["d"]).await;
    let (elsewhere, other) = node(&it.world, "b", &exchange);
    let who = Entering::new(it.hub.name.clone(), address("d"), String::new());
    let _there = elsewhere.enter(who, Arc::new(Link::default()), it.world.clock.now()).await.unwrap();
    other.cut_silently(true);
    it.add(input("j", "*", twin(json!({}), json!({"p": 1})))).await.unwrap();
    let turn = async {
        while it.job("j").await.statistics.succeeded < 1 {
            tokio::task::yield_now().await;
        }
        it.service().in_order(&address("d")).await
    };
    tokio::select! {
        biased;
        ended = async { it.begun("j").await.run().await } => panic!("it waits for nobody: {ended:?}"),
        turn = turn => drop(turn),
    }
}
