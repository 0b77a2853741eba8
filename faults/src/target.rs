//! The nodes as clients see them: where each is, whether it is ready, and which one is next. What a balancer does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use pollux_client::rest::{RestOptions, TokenSource};
use pollux_client::{ConnectionString, Endpoint, Rest, tls};
use serde_json::Value;

use crate::network::Host;

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two looks at a node, and for one of them.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// So many looks in a row make a node that was ready one that is not.
const FALL: u32 = 2;

/// One node.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) mqtt: Endpoint,
    pub(crate) hub: Rest,
    pub(crate) dps: Rest,
    pub(crate) twins: Rest,
    /// What a balancer asks, and does not wait for long.
    probe: Rest,
    /// The same with patience.
    open: Rest,
    ready: AtomicBool,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Targets {
    pub(crate) all: Vec<Target>,
    pub(crate) id_scope: String,
    pub(crate) hub_host: String,
    pub(crate) allocate_url: String,
    next: AtomicUsize,
}

impl Targets {
    /// From what each node said when it was ready.
    pub(crate) fn new(connections: &[Value]) -> Result<Self> {
        let mut trusted = String::new();
        for one in connections {
            trusted += &std::fs::read_to_string(text(&one["ca"])?)?;
        }
        let tls = tls::client_config(&trusted)?;
        let all: Result<Vec<_>> =
            connections.iter().enumerate().map(|(index, one)| Target::new(index, one, &tls)).collect();
        let first = connections.first().context("there is a node")?;
        Ok(Self {
            all: all?,
            id_scope: text(&first["dps"][0]["idScope"])?.to_owned(),
            hub_host: text(&first["hub"][0]["hostName"])?.to_owned(),
            allocate_url: text(&first["functions"][0]["allocateUrl"])?.to_owned(),
            next: AtomicUsize::new(0),
        })
    }

    /// The next node that is ready, in turn; any, when none is.
    pub(crate) fn pick(&self) -> usize {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let turn = (first..first + self.all.len()).map(|number| number % self.all.len());
        turn.clone().find(|index| self.is_ready(*index)).unwrap_or(first % self.all.len())
    }

    /// The node that is next.
    pub(crate) fn next(&self) -> &Target {
        &self.all[self.pick()]
    }

    pub(crate) fn is_ready(&self, index: usize) -> bool {
        self.all[index].ready.load(Ordering::Relaxed)
    }

    pub(crate) fn all_ready(&self) -> bool {
        (0..self.all.len()).all(|index| self.is_ready(index))
    }

    /// Looks at every node again and again.
    pub(crate) async fn watch(self: Arc<Self>) {
        let each = self.all.iter().map(Target::watch);
        futures_util::future::join_all(each).await;
    }
}

impl Target {
    fn new(index: usize, connections: &Value, tls: &Arc<rustls::ClientConfig>) -> Result<Self> {
        let address = IpAddr::V4(Host::node(index).address);
        let options = |version: Option<&str>, timeout| RestOptions {
            tls: Some(Arc::clone(tls)),
            addresses: vec![("localhost".to_owned(), SocketAddr::new(address, 0))],
            api_version: version.map(str::to_owned),
            timeout,
        };
        let url = text(&connections["admin"]["url"])?;
        let policy = |kind: &str| -> Result<ConnectionString> {
            Ok(text(&connections[kind][0]["connectionString"])?.parse()?)
        };
        let identity = &connections["identity"];
        let (authority, tenant) = (text(&identity["authority"])?, text(&identity["tenantId"])?);
        let source = TokenSource::ClientCredentials {
            token_url: format!("{authority}/{tenant}/oauth2/v2.0/token"),
            client_id: text(&identity["clientId"])?.to_owned(),
            client_secret: text(&identity["clientSecret"])?.to_owned(),
            scope: "https://digitaltwins.azure.net/.default".to_owned(),
        };
        let port = u16::try_from(connections["ports"]["mqtt"][0].as_u64().context("no MQTT port")?)?;
        let mqtt = Endpoint {
            host: "localhost".to_owned(),
            port,
            address: Some(SocketAddr::new(address, port)),
            tls: Arc::clone(tls),
        };
        Ok(Self {
            mqtt,
            hub: Rest::sas(url, &policy("hub")?, options(Some("2021-04-12"), TIMEOUT))?,
            dps: Rest::sas(url, &policy("dps")?, options(Some("2021-10-01"), TIMEOUT))?,
            twins: Rest::bearer(url, source, options(Some("2023-10-31"), TIMEOUT))?,
            probe: Rest::anonymous(url, options(None, LOOK_TIMEOUT))?,
            open: Rest::anonymous(url, options(None, TIMEOUT))?,
            ready: AtomicBool::new(false),
        })
    }

    async fn watch(&self) {
        let mut missed = 0;
        loop {
            let well =
                matches!(self.probe.get("/ready").send_any().await, Ok(answer) if answer.status == 200);
            missed = if well { 0 } else { missed + 1 };
            if missed == 0 || missed >= FALL {
                self.ready.store(well, Ordering::Relaxed);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What the node says when asked whether it is ready.
    pub(crate) async fn says(&self) -> String {
        match self.open.get("/ready").send_any().await {
            Ok(answer) => format!("{} {}", answer.status, answer.body.as_str().unwrap_or_default().trim()),
            Err(error) => error.to_string(),
        }
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a node's ready line lacks a field")
}
