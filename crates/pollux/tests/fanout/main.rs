//! Telemetry of very many devices, and who reads it: four consumers, one that is slow, one that comes late.
//!
//! ```text
//!   10,000 devices ──MQTT──▶ hub ──route──▶ event hub, 4 partitions ──AMQP──▶ group-0 … group-3: all of it, as it comes
//!                                                                         ├─▶ slow: takes a few and stops; later the rest
//!                                                                         └─▶ late: from the beginning, when all is there
//! ```
//!
//! The server is a process of its own, so that its memory can be looked at.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

mod consumer;
mod crowd;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use pollux_client::{HubDevice, Properties};
use tokio::time::Instant;

use consumer::{Consumer, Seen};
use server::Server;

const DEVICES: usize = if cfg!(debug_assertions) { 300 } else { 10_000 };
/// Messages of each device: one to warm up, with which the memory is compared, and the rest.
const MESSAGES: u32 = 9;
/// Bytes of a message.
const BODY: usize = 1024;
const PARTITIONS: usize = 4;
const CONSUMERS: usize = 4;
/// What the slow consumer's client asks for of each partition when nobody takes what it brings.
const PREFETCH: u64 = 512;
/// Devices that are made or connected at the same time: fewer than a server takes of strangers from one address.
const AT_ONCE: usize = 32;

/// What readers may add to the server's memory. Each of six connections may hold 1 MiB of output and, for each of four
/// partitions, a batch of 256 KiB and what was read ahead of it (1 MiB); each partition the newest 1 MiB: 40 MB, and the
/// messages of 10,000 devices that are on their way, with what an allocator keeps. The backlog is 90 MB, and would be that
/// for each reader that had a queue.
const BOUND: u64 = 64 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_devices_are_read_by_many_consumers_with_bounded_memory() {
    server::raise_open_files();
    let server = Server::start(PARTITIONS, CONSUMERS);
    let devices = connect(&server).await;
    let seen: Vec<_> = (0..CONSUMERS).map(|_| Seen::new(DEVICES)).collect();
    let mut consumers = Vec::new();
    for (number, seen) in seen.iter().enumerate() {
        consumers.push(Consumer::start(&server, &format!("group-{number}"), Arc::clone(seen)).await);
    }
    let slow = Seen::new(DEVICES);
    let mut slow_one = Consumer::attach(&server, "slow").await;

    send(&devices, 0..1).await;
    slow_one.take_one(&slow).await;
    for seen in &seen {
        seen.until(DEVICES as u64).await;
    }
    let before = server.resident_bytes();
    let memory = Watch::start(&server);

    let began = Instant::now();
    send(&devices, 1..MESSAGES).await;
    let sent = began.elapsed();
    let all = DEVICES as u64 * u64::from(MESSAGES);
    for seen in &seen {
        seen.until(all).await;
    }
    let read = began.elapsed();
    // Who is slow has had what its client asked for in the beginning, and nobody has waited for it.
    let delivered = slow_one.waiting();
    assert!(delivered <= PREFETCH * PARTITIONS as u64, "{delivered} events were sent to one that takes none");
    let peak = memory.peak();

    let began = Instant::now();
    let late = Seen::new(DEVICES);
    let late_one = Consumer::start(&server, "late", Arc::clone(&late)).await;
    late.until(all).await;
    let cold = began.elapsed();
    // Nothing is lost to the slow one either: it goes on where it stopped.
    let slow_one = slow_one.go_on(Arc::clone(&slow));
    slow.until(all).await;
    let memory = memory.end();
    for one in consumers.into_iter().chain([slow_one, late_one]) {
        one.end().await;
    }
    for (name, seen) in
        [("late", &late), ("slow", &slow)].into_iter().chain(seen.iter().map(|seen| ("group", seen)))
    {
        assert_eq!((seen.count(), seen.lacking()), (all, 0), "{name}");
    }

    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{DEVICES} devices, {all} events of {BODY} bytes: sent in {sent:.1?}, read by {CONSUMERS} in {read:.1?}; from the \
         beginning in {cold:.1?} ({:.0} events/s); server {:.0} MB, {:.0} while the slow one stood still, {:.0} at most",
        all as f64 / cold.as_secs_f64(),
        megabytes(before),
        megabytes(peak),
        megabytes(memory),
    );
    let grown = memory.saturating_sub(before);
    assert!(grown < BOUND, "the server's memory grew by {} MB", grown / 1_000_000);
}

/// Makes the devices and connects each.
async fn connect(server: &Server) -> Vec<HubDevice> {
    let rest = server.hub();
    let made =
        stream::iter(0..DEVICES).map(|index| server.make_device(&rest, index)).buffer_unordered(AT_ONCE);
    made.try_collect::<()>().await.unwrap();
    let connected = stream::iter(0..DEVICES).map(|index| server.connect_device(index)).buffered(AT_ONCE);
    connected.map_ok(|(device, _)| device).try_collect().await.unwrap()
}

/// Each device sends its messages one after the other, all devices at the same time.
async fn send(devices: &[HubDevice], numbers: std::ops::Range<u32>) {
    let properties = Properties::new();
    let one = async |(index, device): (usize, &HubDevice)| {
        for number in numbers.clone() {
            device.send(consumer::body(index, number, BODY), &properties).await?;
        }
        Ok::<_, pollux_client::hub_device::HubError>(())
    };
    try_join_all(devices.iter().enumerate().map(one)).await.unwrap();
}

/// Looks at the server's memory all the time.
struct Watch {
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    task: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(server: &Server) -> Self {
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (most, stop, pid) = (Arc::clone(&peak), Arc::clone(&ended), server.pid());
        let task = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(server::resident_bytes(pid), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(20));
            }
        });
        Self { peak, ended, task }
    }

    /// The most there was so far.
    fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        self.task.thread().unpark();
        self.task.join().unwrap();
        self.peak.load(Ordering::Relaxed)
    }
}
