//! PostgreSQL and NATS under whole servers: what is shared, what is refused at start, what readiness says.

use std::time::Duration;

use pollux_model::resource::Setting;
use pollux_server::{Config, ServeError};
use pollux_testkit::{Nats, NatsOptions, Postgres, TestServer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for any machine; a test that hangs fails here.
const PATIENCE: Duration = Duration::from_secs(60);

fn on(state: Option<&str>, events: Option<&str>) -> impl FnOnce(&mut Config) {
    let setting = |url: Option<&str>| url.map(|url| Setting(url.to_owned()));
    let (state, events) = (setting(state), setting(events));
    move |config| {
        config.state.url = state;
        config.events.url = events;
    }
}

/// Why a server with these settings does not start in this folder.
async fn refused(folder: &TempDir, change: impl FnOnce(&mut Config)) -> String {
    let mut config = TestServer::config(folder.path());
    change(&mut config);
    let begun = tokio::time::Instant::now();
    let error = pollux_server::start(config).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(15), "it took {:?}: {error}", begun.elapsed());
    assert!(matches!(error, ServeError::Stored(_)), "{error:?}");
    assert_eq!(error.exit_code(), 1);
    error.to_string()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn make_hub(server: &TestServer, name: &str) -> u16 {
    let request = server.http().post(format!("{}/admin/resources/hub", server.url()));
    let hub = json!({ "name": name, "hostName": format!("{name}.example.com") });
    let answer = request.bearer_auth(server.connections().admin.key).json(&hub).send().await.unwrap();
    answer.status().as_u16()
}

async fn resources(server: &TestServer) -> Value {
    let request = server.http().get(format!("{}/admin/resources", server.url()));
    let answer = request.bearer_auth(server.connections().admin.key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Status and text of `/ready`.
async fn ready(http: &reqwest::Client, server: &TestServer) -> (u16, String) {
    let answer = http.get(format!("{}/ready", server.url())).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Asks until `/ready` says so.
async fn until_ready_says(server: &TestServer, wanted: impl Fn(u16, &str) -> bool) {
    let http = server.http();
    let said = async {
        loop {
            let (status, text) = ready(&http, server).await;
            if wanted(status, &text) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("/ready says so in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_everything_and_a_restart_finds_it() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (state, events) = (postgres.create_database("pollux"), nats.url());
    let start = async |folder| TestServer::start_in(folder, on(Some(&state), Some(&events))).await;
    // At once: what a first start makes is made once.
    let (a, b) = tokio::join!(start(folder()), start(folder()));
    assert_eq!(a.ca_pem(), b.ca_pem());
    assert_eq!(a.connections().admin.key, b.connections().admin.key);
    assert_eq!(a.connections().identity.client_secret, b.connections().identity.client_secret);
    assert_eq!(make_hub(&a, "plant").await, 201);
    let all = resources(&a).await;
    assert_eq!(all["value"].as_array().unwrap().len(), 6);
    let key = std::fs::read_to_string(a.connections().data_dir + "/server.key").unwrap();
    let (left, ca) = (a.stop().await, b.ca_pem());
    drop((left, b.stop().await));
    // In an empty folder, as a node that is made anew.
    let c = start(folder()).await;
    assert_eq!(resources(&c).await, all);
    assert_eq!(c.ca_pem(), ca);
    assert_ne!(std::fs::read_to_string(c.connections().data_dir + "/server.key").unwrap(), key);
    assert!(!std::path::Path::new(&(c.connections().data_dir + "/ca.key")).exists());
    assert_eq!(ready(&c.http(), &c).await, (200, "ready\n".to_owned()));
    drop(c.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_stays_where_its_events_are() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (state, events) = (postgres.create_database("pollux"), nats.url());
    let server = TestServer::start_in(folder(), on(Some(&state), None)).await;
    assert_eq!(make_hub(&server, "plant").await, 201);
    let own = server.stop().await;
    let error = refused(&folder(), on(Some(&state), None)).await;
    assert!(error.contains("another data folder") && error.contains("start it with that folder"), "{error}");
    let error = refused(&own, on(Some(&state), Some(&events))).await;
    assert!(error.contains("remove events.url"), "{error}");
    let server = TestServer::start_in(own, on(Some(&state), None)).await;
    assert_eq!(resources(&server).await["value"].as_array().unwrap().len(), 6);
    drop(server.stop().await);

    let laptop = TestServer::start_in(folder(), on(None, Some(&events))).await;
    assert_eq!(make_hub(&laptop, "plant").await, 201);
    let laptop = laptop.stop().await;
    let error = refused(&laptop, on(None, None)).await;
    assert!(error.contains("events.url is not set: set it"), "{error}");
    let laptop = TestServer::start_in(laptop, on(None, Some(&events))).await;
    assert_eq!(ready(&laptop.http(), &laptop).await.0, 200);
    drop(laptop.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_with_what_to_do_and_without_the_password() {
    let login = Some(("pollux".to_owned(), "hunter2".to_owned()));
    let nats = Nats::start_with(NatsOptions { login, ..NatsOptions::default() }).await;
    let (Some(mut postgres), Some(mut nats)) = (Postgres::start(), nats) else { return };
    let (folder, state) = (folder(), postgres.create_database("pollux"));
    let strange = postgres.url_of("postgres", "hunter3", "pollux");
    let stranger = format!("nats://pollux:hunter3@127.0.0.1:{}", nats.port());
    let error = refused(&folder, on(Some(&strange), None)).await;
    assert!(error.contains("check user and password"), "{error}");
    let error = refused(&folder, on(Some(&state), Some(&stranger))).await;
    assert!(error.contains("refuses") && !error.contains("hunter3"), "{error}");

    let events = nats.url();
    drop(TestServer::start_in(TempDir::new().unwrap(), on(Some(&state), Some(&events))).await.stop().await);
    nats.stop().await;
    let error = refused(&folder, on(Some(&state), Some(&events))).await;
    assert!(error.contains("cannot connect to NATS at 127.0.0.1") && !error.contains("hunter2"), "{error}");
    postgres.sql("pollux", "UPDATE pollux_schema SET version = 1000");
    let error = refused(&folder, on(Some(&state), Some(&events))).await;
    assert!(error.contains("schema version 1000") && error.contains("newer Pollux"), "{error}");
    postgres.stop();
    let error = refused(&folder, on(Some(&state), None)).await;
    assert!(error.contains("cannot connect to PostgreSQL at 127.0.0.1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing_and_comes_back() {
    let (Some(mut postgres), Some(mut nats)) = (Postgres::start(), Nats::start().await) else { return };
    let (state, events) = (postgres.create_database("pollux"), nats.url());
    let server = TestServer::start_in(folder(), on(Some(&state), Some(&events))).await;
    until_ready_says(&server, |status, text| (status, text) == (200, "ready\n")).await;
    postgres.kill9();
    until_ready_says(&server, |status, text| {
        status == 503 && text.starts_with("not ready: state (PostgreSQL): ") && !text.contains("NATS")
    })
    .await;
    let health = server.http().get(format!("{}/health", server.url())).send().await.unwrap();
    assert_eq!(health.status(), 200, "the process is alive");
    nats.kill9();
    until_ready_says(&server, |status, text| {
        status == 503 && text.contains("\nnot ready: events (NATS): ") && text.contains("state (PostgreSQL)")
    })
    .await;
    postgres.restart();
    nats.restart().await;
    until_ready_says(&server, |status, _| status == 200).await;
    assert_eq!(make_hub(&server, "plant").await, 201);
    drop(server.stop().await);
}
