//! HAProxy before several nodes: TCP on the ports that clients fix, new connections to nodes whose `/ready` answers 200.

use std::fmt::Write;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{Process, Ready};
use super::{AMQP, AMQP_PLAIN, HTTPS, MQTT, failed, node_address, program};

const READY: Duration = Duration::from_secs(10);

/// A running HAProxy.
#[derive(Debug)]
pub struct Balancer {
    /// Its process.
    pub process: Process,
    log: PathBuf,
}

impl Balancer {
    /// Starts one on 127.0.0.1 and `::1` before `nodes` nodes ([`node_address`]); they need not run yet.
    /// Its config and its log go into `folder`.
    pub fn start(folder: &Path, nodes: usize) -> io::Result<Self> {
        let addresses: Vec<Ipv4Addr> = (0..nodes).map(node_address).collect();
        let config = folder.join("haproxy.cfg");
        std::fs::write(&config, text(&addresses)).map_err(|error| failed(config.display(), error))?;
        let mut command = Command::new(program("haproxy")?);
        command.args(["-W", "-db", "-f"]).arg(&config);
        let log = folder.join("haproxy.log");
        let ready = Ready::Says("Loading success".to_owned()); // said once its ports are bound, by the master of `-W` only
        let mut process = Process::spawn("haproxy", command, &log, ready)?;
        process.wait_ready(READY).map_err(|error| failed(log.display(), error))?;
        Ok(Self { process, log })
    }

    /// What HAProxy said each time that a node was not ready, oldest first.
    #[must_use]
    pub fn outages(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains(" is DOWN, reason: ")).map(str::to_owned).collect()
    }
}

/// One proxy per port. Health is asked for once a node, over its first HTTPS port; the other proxies follow it.
fn text(nodes: &[Ipv4Addr]) -> String {
    let mut text = String::from(
        "global\n  \
           maxconn 8000\n\
         defaults\n  \
           mode tcp\n  \
           balance roundrobin\n  \
           timeout connect 1s\n  \
           timeout check 1s\n  \
           timeout client 1h\n  \
           timeout server 1h\n  \
           retries 3\n  \
           option redispatch 1\n  \
           default-server inter 200ms fastinter 100ms downinter 100ms fall 2 rise 1\n",
    );
    let leader = name("https", HTTPS[0]);
    for (index, (kind, port)) in HTTPS
        .map(|port| ("https", port))
        .into_iter()
        .chain([("mqtt", MQTT), ("amqp", AMQP), ("amqp", AMQP_PLAIN)])
        .enumerate()
    {
        let proxy = name(kind, port);
        let mut line = |line: String| writeln!(text, "{line}").expect("writing to a String never fails");
        line(format!("listen {proxy}\n  bind 127.0.0.1:{port}\n  bind [::1]:{port}"));
        if index == 0 {
            line("  option httpchk".to_owned());
            line("  http-check send meth GET uri /ready ver HTTP/1.1 hdr Host localhost".to_owned());
            line("  http-check expect status 200".to_owned());
        }
        for (node, address) in nodes.iter().enumerate() {
            let health = if index == 0 {
                "check check-ssl check-sni localhost verify none".to_owned()
            } else {
                format!("track {leader}/node-{}", node + 1)
            };
            line(format!("  server node-{} {address}:{port} {health}", node + 1));
        }
    }
    text
}

fn name(kind: &str, port: u16) -> String {
    format!("{kind}-{port}")
}

#[cfg(test)]
mod tests {
    use super::{node_address, text};

    #[test]
    fn every_port_leads_to_every_node_and_one_port_asks_for_health() {
        let text = text(&[node_address(0), node_address(1)]);
        for line in [
            "  server node-1 127.0.0.2:443 check check-ssl check-sni localhost verify none",
            "  server node-2 127.0.0.3:8443 track https-443/node-2",
            "  server node-2 127.0.0.3:8883 track https-443/node-2",
            "  bind [::1]:8883",
            "  server node-1 127.0.0.2:5671 track https-443/node-1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line:?} is not in\n{text}");
        }
        assert_eq!(text.matches("httpchk").count(), 1);
    }
}
