//! Redis Streams as a log: an append-only file that is synced before every answer. A partition is a stream, a batch so
//! many XADDs in one write, a read an XRANGE.

use std::collections::HashMap;

use anyhow::Result;
use bytes::Bytes;

use super::log::{Follower, Group, Lane, Log};
use super::resp::{Connection, Reply, command, entries};
use crate::process;
use crate::server::{Server, free_ports, program};
use crate::subject::work_folder;

/// A server.
pub(super) struct Redis {
    server: Server,
    port: u16,
}

impl Redis {
    /// Starts one; `None` where it is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        let Some(program) = program("redis-server") else { return Ok(None) };
        let folder = work_folder()?;
        let [port] = free_ports()?;
        let mut command = process::pinned(&program);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(folder.path());
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        // No snapshots, and the file is not written anew meanwhile: that would be other work.
        command.args(["--save", "", "--auto-aof-rewrite-percentage", "0"]);
        let mut server = Server::start(command, folder)?;
        let ping = async || Connection::open(port).await?.ask(&[b"PING"]).await;
        server.until(ping).await?;
        Ok(Some(Self { server, port }))
    }
}

fn key(partition: usize) -> Vec<u8> {
    format!("bench:{partition}").into_bytes()
}

impl Log for Redis {
    type Lane = Stream;
    type Follower = Tail;

    fn pid(&self) -> u32 {
        self.server.pid()
    }

    async fn lanes(&self, group: Group) -> Result<Vec<Stream>> {
        let mut lanes = Vec::new();
        for partition in 0..group.partitions {
            lanes.push(Stream {
                writer: Connection::open(self.port).await?,
                reader: Connection::open(self.port).await?,
                key: key(partition),
                size: group.size,
                commands: HashMap::new(),
                after: Bytes::new(),
            });
        }
        Ok(lanes)
    }

    async fn follow(&self, _: Group) -> Result<Tail> {
        let mut connection = Connection::open(self.port).await?;
        let newest = connection.ask(&[b"XREVRANGE", &key(0), b"+", b"-", b"COUNT", b"1"]).await?;
        let (_, after) = entries(&newest)?;
        Ok(Tail { connection, after })
    }

    async fn clear(&self, group: Group) -> Result<()> {
        let mut connection = Connection::open(self.port).await?;
        for partition in 0..group.partitions {
            connection.ask(&[b"DEL", &key(partition)]).await?;
        }
        Ok(())
    }
}

/// A partition.
pub(super) struct Stream {
    writer: Connection,
    reader: Connection,
    key: Vec<u8>,
    size: usize,
    /// What is written for a batch, by the number of events in it.
    commands: HashMap<usize, Vec<u8>>,
    /// The ID of the last entry that was read.
    after: Bytes,
}

impl Lane for Stream {
    async fn append(&mut self, batch: usize) -> Result<()> {
        let commands = self.commands.entry(batch).or_insert_with(|| {
            let (mut out, body) = (Vec::new(), vec![b'x'; self.size]);
            for _ in 0..batch {
                command(&mut out, &[b"XADD", &self.key, b"*", b"d", &body]);
            }
            out
        });
        self.writer.send(commands).await?;
        for _ in 0..batch {
            self.writer.reply().await?;
        }
        Ok(())
    }

    async fn rewind(&mut self, _: usize) -> Result<()> {
        self.after = Bytes::from_static(b"0");
        Ok(())
    }

    async fn read(&mut self, most: usize) -> Result<usize> {
        let from = [b"(", self.after.as_ref()].concat();
        let most = most.to_string();
        let words: [&[u8]; 6] = [b"XRANGE", &self.key, &from, b"+", b"COUNT", most.as_bytes()];
        let (count, last) = entries(&self.reader.ask(&words).await?)?;
        self.after = last;
        Ok(count)
    }
}

/// A consumer at the end.
pub(super) struct Tail {
    connection: Connection,
    after: Bytes,
}

impl Follower for Tail {
    async fn next(&mut self) -> Result<()> {
        let words: [&[u8]; 6] = [b"XREAD", b"BLOCK", b"0", b"STREAMS", &key(0), &self.after];
        let Reply::List(streams) = self.connection.ask(&words).await? else {
            anyhow::bail!("XREAD waits until there is something")
        };
        let Some(Reply::List(stream)) = streams.first() else { anyhow::bail!("XREAD gives streams") };
        let Some(found) = stream.get(1) else { anyhow::bail!("a stream has a name and entries") };
        self.after = entries(found)?.1;
        Ok(())
    }
}
