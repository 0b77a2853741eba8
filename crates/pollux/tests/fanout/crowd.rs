//! Thousands of devices on one node (`HUB_DEVICES=10000`): what each costs, that each can be reached, storms of them, and some that misbehave.
//!
//! ```text
//!   all connect ─▶ a method to each ─▶ a desired change to each ─▶ all connect again (takeover) ─▶ kill -9, all come back
//!              ─▶ strangers that say nothing, devices that do not read, devices that flood: what a hundred neighbours notice
//! ```
//!
//! What is asserted is that all are served, and bounds that hold on a busy machine; how fast it went is printed.

#![expect(clippy::print_stdout, reason = "how long it took is for whoever reads the output")]

mod member;

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::device::QoS;
use pollux_client::{HubDevice, Properties, Rest};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::server::{self, Server, device_id};
use member::{Member, come_back};

/// Where nobody says otherwise with `HUB_DEVICES`.
const DEVICES: usize = if cfg!(debug_assertions) { 200 } else { 2_000 };
/// Requests, or devices that connect, at the same time.
const AT_ONCE: usize = 64;
/// Devices that connect at the same time in a storm of takeovers: half as many as a server takes of strangers from one address.
const STORM: usize = 500;
/// A connection may add so much to the server's memory: eight times what it takes here.
const MEMORY: u64 = 128 << 10;
/// Within this all devices are back after a restart, however many there are: ten thousand took a sixth of it here.
const BACK: Duration = Duration::from_secs(180);
/// Devices whose messages are timed while others misbehave, and how long.
const NEIGHBOURS: usize = 100;
const WATCHED: Duration = Duration::from_secs(3);
/// Each of their messages is acknowledged within this, whatever others do.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// Strangers that connect and say nothing; the server hangs up after its `handshake_timeout_seconds`, 15.
const STRANGERS: usize = 300;
const HANG_UP: Duration = Duration::from_secs(60);
/// Calls to a device that does not read, each of so many bytes: more than all buffers in between hold.
const UNREAD: usize = 200;
const ARGUMENT: usize = 100 * 1024;
/// Devices that flood.
const FLOODERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_served_whatever_some_of_it_do() {
    server::raise_open_files();
    let devices = wanted();
    let mut server = Server::start(4, 0);
    make(&server, devices).await;
    let crowd = arrive(&server, devices).await;
    call_each(&server.hub(), devices).await;
    change_each(&server.hub(), &crowd).await;
    let crowd = take_over(&server, crowd).await;
    call_each(&server.hub(), devices).await;
    drop(crowd);
    let crowd = all_come_back(&mut server, devices).await;
    call_each(&server.hub(), devices).await;
    let neighbours: Vec<_> = crowd.iter().take(NEIGHBOURS).map(|member| member.device.clone()).collect();
    let quiet = acknowledgements(&neighbours).await;
    say("neighbours: nobody misbehaves", quiet);
    strangers(&server, &neighbours).await;
    one_does_not_read(&server, devices, &neighbours).await;
    floods(&crowd, &neighbours).await;
    println!("server at the end: {:.0} MB", server.resident_bytes() as f64 / 1e6);
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test says how many")]
fn wanted() -> usize {
    let said = std::env::var("HUB_DEVICES").ok();
    said.map_or(DEVICES, |said| said.parse().expect("HUB_DEVICES is a number")).max(NEIGHBOURS + FLOODERS)
}

/// The devices, and one more, that will not read.
async fn make(server: &Server, devices: usize) {
    let (rest, began) = (server.hub(), Instant::now());
    let made =
        stream::iter(0..=devices).map(|index| server.make_device(&rest, index)).buffer_unordered(AT_ONCE);
    made.try_collect::<()>().await.unwrap();
    println!("{devices} devices: made in {:.1?}", began.elapsed());
}

async fn arrive(server: &Server, devices: usize) -> Vec<Member> {
    let (before, began) = (server.resident_bytes(), Instant::now());
    let crowd: Vec<_> = stream::iter(0..devices)
        .map(|index| Member::enter(server, index))
        .buffered(AT_ONCE)
        .try_collect()
        .await
        .unwrap();
    let each = server.resident_bytes().saturating_sub(before) / devices as u64;
    println!("connected and subscribed in {:.1?}: {:.1} kB each", began.elapsed(), each as f64 / 1e3);
    assert!(each < MEMORY, "a connection takes {each} bytes");
    crowd
}

/// A direct method to each; each answers with what it was given.
async fn call_each(rest: &Rest, devices: usize) {
    let began = Instant::now();
    let calls = stream::iter(0..devices).map(async |index| {
        let began = Instant::now();
        let call = json!({ "methodName": "echo", "payload": index, "responseTimeoutInSeconds": 60 });
        let answer = rest.post(&format!("/twins/{}/methods", device_id(index))).json(call).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("device {index}: {error}"));
        assert_eq!((&answer.body["status"], &answer.body["payload"]), (&json!(200), &json!(index)));
        began.elapsed()
    });
    let took: Vec<_> = calls.buffer_unordered(AT_ONCE).collect().await;
    say(&format!("a method to each in {:.1?}", began.elapsed()), took);
}

/// A change of a desired property of each, until each has been told.
async fn change_each(rest: &Rest, crowd: &[Member]) {
    let began = Instant::now();
    let changes = stream::iter(crowd.iter().enumerate()).map(async |(index, member)| {
        let began = Instant::now();
        let patch = json!({ "properties": { "desired": { "interval": index } } });
        let answer = rest.patch(&format!("/twins/{}", device_id(index))).json(patch).send().await.unwrap();
        let version = answer.body["properties"]["desired"]["$version"].as_u64().unwrap();
        member.told(version).await;
        began.elapsed()
    });
    let took: Vec<_> = changes.buffer_unordered(AT_ONCE).collect().await;
    say(&format!("a desired change to each in {:.1?}", began.elapsed()), took);
}

/// Each device connects a second time: the newer connection stays, the older one is closed.
async fn take_over(server: &Server, crowd: Vec<Member>) -> Vec<Member> {
    let began = Instant::now();
    let newer: Vec<_> = stream::iter(0..crowd.len())
        .map(|index| Member::enter(server, index))
        .buffered(STORM)
        .try_collect()
        .await
        .unwrap();
    let in_time = timeout(BACK, join_all(crowd.iter().map(|member| member.device.closed())));
    assert!(in_time.await.is_ok(), "older connections are still open");
    println!("all taken over, {STORM} at a time, in {:.1?}", began.elapsed());
    newer
}

/// The server is killed and started again, and all devices come back at once, each as stubbornly as an SDK.
async fn all_come_back(server: &mut Server, devices: usize) -> Vec<Member> {
    server.restart();
    let (server, began) = (&*server, Instant::now());
    let back = timeout(BACK, join_all((0..devices).map(|index| come_back(server, index))));
    let back = back.await.unwrap_or_else(|_| panic!("not all devices are back after {BACK:?}"));
    println!(
        "all back after kill -9, all at once, in {:.1?}: {} connections tried, {} by one at most",
        began.elapsed(),
        back.iter().map(|(_, tries)| tries).sum::<u32>(),
        back.iter().map(|(_, tries)| *tries).max().unwrap_or_default(),
    );
    back.into_iter().map(|(member, _)| member).collect()
}

/// Connections on which nothing is said: neighbours do not notice, and the server hangs up.
async fn strangers(server: &Server, neighbours: &[HubDevice]) {
    let address = server.endpoint("mqtt").address.unwrap();
    let mut silent = Vec::new();
    for _ in 0..STRANGERS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    say(&format!("neighbours: {STRANGERS} strangers say nothing"), acknowledgements(neighbours).await);
    let hung_up = silent.iter_mut().map(async |stream| {
        // Closed or reset: it is gone.
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)), "a stranger was told something");
    });
    assert!(timeout(HANG_UP, join_all(hung_up)).await.is_ok(), "strangers are still connected");
}

/// A device that does not read what it is sent: whoever calls it is answered in time, neighbours do not notice, and what waits for it
/// is bounded.
async fn one_does_not_read(server: &Server, index: usize, neighbours: &[HubDevice]) {
    // What it is sent stays in its receiver, and behind that in buffers.
    let (deaf, unread) = server.connect_device(index).await.unwrap();
    deaf.subscribe_methods().await.unwrap();
    let (rest, before) = (server.hub(), server.resident_bytes());
    let argument = "x".repeat(ARGUMENT);
    let path = format!("/twins/{}/methods", device_id(index));
    let calls = stream::iter(0..UNREAD).map(async |_| {
        let call = json!({ "methodName": "hear", "payload": argument, "responseTimeoutInSeconds": 5 });
        rest.post(&path).json(call).timeout(HANG_UP).send().await.unwrap_err().status()
    });
    let calls = calls.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
    let (statuses, took) = tokio::join!(calls, acknowledgements(neighbours));
    say("neighbours: one does not read", took);
    let unanswered = statuses.iter().filter(|status| matches!(status, Some(404 | 504))).count();
    let throttled = statuses.iter().filter(|status| **status == Some(429)).count();
    assert_eq!(unanswered + throttled, UNREAD, "{statuses:?}");
    let grown = server.resident_bytes().saturating_sub(before);
    println!(
        "  of {UNREAD} calls {unanswered} had no answer, {throttled} too many waited; memory grew by {:.1} MB",
        grown as f64 / 1e6
    );
    assert!(grown < 64 << 20, "the server holds {grown} bytes for a device that does not read");
    drop(unread);
}

/// Devices that send as fast as they can, large and small: neighbours are still acknowledged in time.
async fn floods(crowd: &[Member], neighbours: &[HubDevice]) {
    let mut flooding = tokio::task::JoinSet::new();
    for (number, member) in crowd.iter().rev().take(FLOODERS).enumerate() {
        let device = member.device.clone();
        let topic = format!("devices/{}/messages/events/", device_id(crowd.len() - 1 - number));
        let (size, qos) =
            if number % 2 == 0 { (200 * 1024, QoS::AtLeastOnce) } else { (64, QoS::AtMostOnce) };
        flooding.spawn(async move {
            // Nobody waits for the acknowledgements; only the connection itself holds it back.
            while let Ok(_unheeded) = device.mqtt().publish_start(topic.as_str(), vec![b'x'; size], qos).await
            {
            }
        });
    }
    say(&format!("neighbours: {FLOODERS} devices flood"), acknowledgements(neighbours).await);
    flooding.shutdown().await;
}

/// How long acknowledgements take a hundred devices that send one message after the other for a while.
async fn acknowledgements(devices: &[HubDevice]) -> Vec<Duration> {
    let until = Instant::now() + WATCHED;
    let sending = devices.iter().map(async |device| {
        let mut took = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            let sent = timeout(ACKNOWLEDGED, device.send(vec![b'x'; 256], &Properties::new())).await;
            sent.unwrap_or_else(|_| panic!("no acknowledgement within {ACKNOWLEDGED:?}")).unwrap();
            took.push(began.elapsed());
        }
        took
    });
    join_all(sending).await.concat()
}

fn say(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: f64| took.get((took.len() as f64 * part) as usize).copied().unwrap_or_default();
    let most = took.last().copied().unwrap_or_default();
    println!(
        "{what}: {} answers, median {:.1?}, p99 {:.1?}, at most {most:.1?}",
        took.len(),
        at(0.5),
        at(0.99)
    );
}
