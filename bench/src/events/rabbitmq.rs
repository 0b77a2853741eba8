//! RabbitMQ with its AMQP 1.0 plugin: a durable classic queue, filled and read by the client that Pollux has.
//!
//! Not a stream queue: the plugin of 3.10 gives credit as queues have it (`basic.credit`), which streams do not. Not a
//! quorum queue: it costs more, and nothing here is asked of it that a classic one does not give.

use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};
use pollux_amqp::performative::{Source, Target};

use super::amqp::{Client, Login, Sent};
use crate::process;
use crate::server::{Server, free_ports, listens, local, program};
use crate::subject::work_folder;

/// The queue, as the plugin names it; it is made when someone attaches.
const QUEUE: &str = "/queue/backlog";
/// What outlives a link: all. The plugin makes a durable queue then.
const DURABLE: u32 = 2;
/// Messages that are not accepted yet while the queue is filled.
const WINDOW: u32 = 1000;

/// A server, and the port mapper that Erlang wants, both ours.
pub(super) struct RabbitMq {
    server: Server,
    login: Login,
    // After the server, which leaves word with it.
    _mapper: Mapper,
}

struct Mapper(Child);

impl Drop for Mapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl RabbitMq {
    /// Starts one; `None` where it is not installed.
    pub(super) async fn start() -> Result<Option<Self>> {
        let (Some(program), Some(mapper)) = (program("rabbitmq-server"), program("epmd")) else {
            return Ok(None);
        };
        let [port, distribution, mapped] = free_ports()?;
        let mapped = mapped.to_string();
        let mut command = std::process::Command::new(mapper);
        command.args(["-port", &mapped, "-address", "127.0.0.1"]).stdin(Stdio::null());
        let mapper = Mapper(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        let folder = work_folder()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::write(
            at("rabbitmq.conf"),
            format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = false\n"),
        )?;
        std::fs::write(at("plugins"), "[rabbitmq_amqp1_0].\n")?;
        let mut command = process::pinned(&program);
        // Nothing of the machine's own RabbitMQ: neither settings nor data nor cookie.
        command.arg("-noinput").env("HOME", folder.path()).env("RABBITMQ_ALLOW_INPUT", "1");
        command.env("RABBITMQ_NODENAME", format!("pollux-bench-{port}@localhost"));
        command.env("RABBITMQ_CONF_ENV_FILE", "/dev/null").env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", at("plugins")).env("RABBITMQ_PID_FILE", at("pid"));
        command.env("RABBITMQ_MNESIA_BASE", at("mnesia")).env("RABBITMQ_LOG_BASE", at("log"));
        command.env("RABBITMQ_GENERATED_CONFIG_DIR", at("generated"));
        command.env("RABBITMQ_DIST_PORT", distribution.to_string());
        command.env("ERL_EPMD_PORT", mapped).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        let mut server = Server::start(command, folder)?;
        server.until(async || listens(port).await).await?;
        let login = Login {
            address: local(port),
            host: "localhost".to_owned(),
            user: "guest".to_owned(),
            password: "guest".to_owned(),
        };
        server.until(async || Client::connect(&login).await.map(drop)).await?;
        Ok(Some(Self { server, login, _mapper: mapper }))
    }

    pub(super) fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Puts so many durable messages into the queue.
    pub(super) async fn fill(&self, size: usize, count: usize) -> Result<()> {
        let mut client = Client::connect(&self.login).await?;
        let target = Target { durable: DURABLE, ..Target::at(QUEUE) };
        let link = client.sender(target).await?;
        let sent = Sent::durable(size);
        for _ in 0..count {
            client.send(link, &sent, WINDOW).await?;
        }
        client.accepted().await
    }

    /// Takes so many messages out of it.
    pub(super) async fn read(&self, credit: u32, count: usize) -> Result<()> {
        let mut client = Client::connect(&self.login).await?;
        let source = Source { durable: DURABLE, ..Source::at(QUEUE) };
        let receiver = client.receiver(source, credit).await.context("the queue is not read")?;
        for _ in 0..count {
            client.receive(receiver).await?;
        }
        Ok(())
    }
}
