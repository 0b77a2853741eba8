//! JetStream as a log: files, synced before every acknowledgement where the server can. A partition is a stream, a batch
//! so many publishes whose acknowledgements are waited for together, a read a pull.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::consumer::pull::{Config as PullConfig, Stream as Messages};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::{self, stream::Config};
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream::StreamExt;
use pollux_testkit::{Nats, NatsOptions};
use tempfile::TempDir;

use super::log::{Follower, Group, Lane, Log};
use crate::process;
use crate::server::program;
use crate::subject::work_folder;

/// How long a pull may wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first version with `sync_interval: always`.
const SYNCS: (u32, u32) = (2, 10);

/// A server.
pub(super) struct JetStream {
    nats: Nats,
    syncs: bool,
    // After the server: it must be gone before its folder is.
    _folder: TempDir,
}

impl JetStream {
    /// Starts one; `None` where it is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        let Some(program) = program("nats-server") else { return Ok(None) };
        let said = std::process::Command::new(program).arg("--version").output()?.stdout;
        let syncs = version(&String::from_utf8_lossy(&said)) >= Some(SYNCS);
        let folder = work_folder()?;
        let sync = if syncs { ", sync_interval: always" } else { "" };
        let store = folder.path().join("store").display().to_string();
        let options = NatsOptions {
            without_jetstream: true,
            config: format!("jetstream {{ store_dir: {store:?}{sync} }}\n"),
            ..NatsOptions::default()
        };
        let Some(nats) = Nats::start_with(options).await else { return Ok(None) };
        process::pin(nats.pid().context("it runs")?)?;
        Ok(Some(Self { nats, syncs, _folder: folder }))
    }

    /// Whether what is acknowledged is on disk.
    pub(super) const fn syncs(&self) -> bool {
        self.syncs
    }

    async fn context(&self) -> Result<jetstream::Context> {
        Ok(jetstream::new(async_nats::connect(self.nats.url()).await?))
    }
}

/// Major and minor number in `nats-server: v2.9.10`.
fn version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.trim().rsplit('v').next()?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn name(partition: usize) -> String {
    format!("bench-{partition}")
}

async fn pull(
    context: &jetstream::Context,
    stream: &str,
    from: DeliverPolicy,
) -> Result<Consumer<PullConfig>> {
    let config = PullConfig {
        ack_policy: AckPolicy::None,
        deliver_policy: from,
        memory_storage: true,
        ..PullConfig::default()
    };
    Ok(context.create_consumer_on_stream(config, stream).await?)
}

impl Log for JetStream {
    type Lane = Stream;
    type Follower = Messages;

    fn pid(&self) -> u32 {
        self.nats.pid().unwrap_or_default()
    }

    async fn lanes(&self, group: Group) -> Result<Vec<Stream>> {
        let mut lanes = Vec::new();
        for partition in 0..group.partitions {
            let (writer, reader, name) = (self.context().await?, self.context().await?, name(partition));
            let config = Config { name: name.clone(), subjects: vec![name.clone()], ..Config::default() };
            writer.create_stream(config).await?;
            lanes.push(Stream { writer, reader, name, body: vec![b'x'; group.size].into(), consumer: None });
        }
        Ok(lanes)
    }

    async fn follow(&self, _: Group) -> Result<Messages> {
        let consumer = pull(&self.context().await?, &name(0), DeliverPolicy::New).await?;
        Ok(consumer.messages().await?)
    }

    async fn clear(&self, group: Group) -> Result<()> {
        let context = self.context().await?;
        for partition in 0..group.partitions {
            // There is none at first.
            let _ = context.delete_stream(name(partition)).await;
        }
        Ok(())
    }
}

/// A partition.
pub(super) struct Stream {
    writer: jetstream::Context,
    reader: jetstream::Context,
    name: String,
    body: Bytes,
    consumer: Option<Consumer<PullConfig>>,
}

impl Lane for Stream {
    async fn append(&mut self, batch: usize) -> Result<()> {
        let mut flying = Vec::with_capacity(batch);
        for _ in 0..batch {
            flying.push(self.writer.publish(self.name.clone(), self.body.clone()).await?.into_future());
        }
        try_join_all(flying).await?;
        Ok(())
    }

    async fn rewind(&mut self, _: usize) -> Result<()> {
        self.consumer = Some(pull(&self.reader, &self.name, DeliverPolicy::All).await?);
        Ok(())
    }

    async fn read(&mut self, most: usize) -> Result<usize> {
        let consumer = self.consumer.as_ref().context("rewind comes first")?;
        let mut messages = consumer.batch().max_messages(most).expires(PATIENCE).messages().await?;
        let mut count = 0;
        while let Some(message) = messages.next().await {
            if let Err(error) = message {
                bail!("a pull failed: {error}");
            }
            count += 1;
        }
        if count == 0 { bail!("a pull gave nothing") } else { Ok(count) }
    }
}

impl Follower for Messages {
    async fn next(&mut self) -> Result<()> {
        match StreamExt::next(self).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => bail!("a pull failed: {error}"),
            None => bail!("the stream of messages has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_tells_whether_it_syncs() {
        assert_eq!(version("nats-server: v2.9.10\n"), Some((2, 9)));
        assert!(
            version("nats-server: v2.10.4") >= Some(SYNCS) && version("nats-server: v2.9.1") < Some(SYNCS)
        );
        assert_eq!(version("no version"), None);
    }
}
