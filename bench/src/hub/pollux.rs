//! Pollux with nothing but a hub, whose built-in endpoint an AMQP client reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use pollux_client::EventHubs;
use pollux_client::hub_device::HubDevice;

use crate::subject::{AT_ONCE, Cpu, Subject};
use crate::telemetry::Broker;

/// No functions: they would be a second consumer, and part of the cost.
pub(super) const HUB_ONLY: &str = "[[resources.hub]]\nname = \"hub\"\n";

/// A running server, its devices, and its reader.
pub(super) struct Pollux {
    subject: Subject,
    pub(super) devices: Vec<HubDevice>,
    delivered: Arc<AtomicU64>,
    // Closes when this is dropped.
    _reader: EventHubs,
}

impl Pollux {
    pub(super) async fn start(devices: usize) -> Result<Self> {
        let subject = Subject::start(HUB_ONLY)?;
        subject.with_devices(devices, AT_ONCE).await?;
        let devices = subject.connect(devices).await?.into_iter().map(|(device, _)| device).collect();
        let (endpoint, policy) = subject.built_in()?;
        let reader = EventHubs::connect(&endpoint, &policy).await?;
        let event_hub = policy.entity_path.context("the built-in endpoint has no name")?;
        let delivered = Arc::new(AtomicU64::new(0));
        for partition in reader.partitions(&event_hub).await? {
            let mut events = reader.receive(&event_hub, "$Default", &partition, None).await?;
            let delivered = Arc::clone(&delivered);
            tokio::spawn(async move {
                // Where it ends before its time, what it lacks is told by who waits for it.
                while let Some(Ok(_)) = events.recv().await {
                    delivered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Ok(Self { subject, devices, delivered, _reader: reader })
    }
}

impl Broker for Pollux {
    fn cpu(&self) -> Result<Cpu> {
        self.subject.cpu()
    }

    async fn delivered(&self) -> Result<u64> {
        Ok(self.delivered.load(Ordering::Relaxed))
    }
}
