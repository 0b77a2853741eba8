//! One device of the crowd: it answers methods, and notes the version of its desired properties that it was told of.

use std::time::Duration;

use pollux_client::HubDevice;
use pollux_client::device::ConnectError;
use pollux_client::hub_device::{HubError, HubEvent};
use tokio::sync::{mpsc, watch};

use crate::server::Server;

/// Before a lost device tries again, at first and at most.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A connected device that listens.
pub(crate) struct Member {
    pub(crate) device: HubDevice,
    desired: watch::Receiver<u64>,
}

/// Why a device is not there.
#[derive(Debug)]
pub(crate) enum Refused {
    #[expect(dead_code, reason = "shown where a device must be there")]
    Connect(ConnectError),
    #[expect(dead_code, reason = "shown where a device must be there")]
    Subscribe(HubError),
}

impl Member {
    /// Connects and subscribes.
    pub(crate) async fn enter(server: &Server, index: usize) -> Result<Self, Refused> {
        let (device, events) = server.connect_device(index).await.map_err(Refused::Connect)?;
        let (told, desired) = watch::channel(0);
        tokio::spawn(live(device.clone(), events, told));
        device.subscribe_methods().await.map_err(Refused::Subscribe)?;
        device.subscribe_desired().await.map_err(Refused::Subscribe)?;
        Ok(Self { device, desired })
    }

    /// Waits until it was told of this version.
    pub(crate) async fn told(&self, version: u64) {
        self.desired.clone().wait_for(|told| *told >= version).await.unwrap();
    }
}

/// Answers methods with what they were given.
async fn live(device: HubDevice, mut events: mpsc::Receiver<HubEvent>, told: watch::Sender<u64>) {
    while let Some(event) = events.recv().await {
        match event {
            HubEvent::Method { request_id, payload, .. } => {
                // The connection is gone: so will be the next event.
                let _ = device.respond(&request_id, 200, &payload).await;
            }
            HubEvent::Desired { version, .. } => drop(told.send_replace(version.unwrap_or_default())),
            HubEvent::Message { .. } => {}
        }
    }
}

/// Connects again and again, as an SDK does: each time after a pause that is longer, and another for each device. How often it took.
pub(crate) async fn come_back(server: &Server, index: usize) -> (Member, u32) {
    let mut pause = PAUSE;
    for tries in 1.. {
        if let Ok(member) = Member::enter(server, index).await {
            return (member, tries);
        }
        // Spread by a number that looks like chance and is the same in each run.
        let part = (index as u32).wrapping_mul(2_654_435_761) >> 24;
        tokio::time::sleep(pause / 2 + pause * part / 512).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    unreachable!("it tries for ever")
}
