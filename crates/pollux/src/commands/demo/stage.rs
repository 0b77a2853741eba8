//! Where the demo plays: a server of its own, and clients of its services.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use pollux_client::provisioning_device::Registration;
use pollux_client::rest::Paging;
use pollux_client::{Credential, Endpoint, Rest};
use pollux_model::Key;
use pollux_server::{Config, Running};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::check::Checks;
use crate::connections::{Connections, pick};
use crate::input::segment;
use crate::output::Output;
use crate::session::Session;

/// The devices' model.
pub(super) const THERMOSTAT: &str = "dtmi:contosocom:DigitalTwins:Thermostat;1";
/// The model of the place they are in.
pub(super) const SPACE: &str = "dtmi:contosocom:DigitalTwins:Space;1";
/// The twin of that place.
pub(super) const HALL: &str = "demo-hall";
/// The enrollment group.
const GROUP: &str = "demo-line";

/// A server in a temporary folder, and clients of it.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) ready_after: Duration,
    pub(super) twins: Rest,
    pub(super) hub: Rest,
    pub(super) dps: Rest,
    pub(super) admin: Rest,
    session: Session,
    running: Running,
    folder: TempDir,
    id_scope: String,
    /// Made up here, as an operator may: base64 for the service, bytes to derive from.
    group_key: Key,
}

impl Stage {
    /// Starts the server on free ports of this machine.
    pub(super) async fn set(output: Output) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("pollux-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let mut config = Config::default();
        config.server.data_dir = folder.path().join("data");
        config.listen.addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        config.listen.https = vec![0];
        config.listen.mqtt = vec![0];
        config.listen.amqp = vec![0];
        config.listen.amqp_plain = Vec::new();
        config.log.filter = "error".to_owned();
        pollux_server::logging::start(&config.log);
        let start = Instant::now();
        let running = pollux_server::start(config).await?;
        let ready_after = start.elapsed();
        let connections = Connections::from_value(serde_json::to_value(running.connections()?)?)?;
        let dps = pick("dps", &connections.dps, None)?;
        let id_scope = dps.id_scope.clone().context("the provisioning service has no ID scope")?;
        let session = Session::new(connections, output)?;
        Ok(Self {
            ready_after,
            twins: session.twins(None)?,
            hub: session.hub(None)?,
            dps: session.dps(None)?,
            admin: session.admin()?,
            session,
            running,
            folder,
            id_scope,
            group_key: Key::generate(&pollux_model::SystemRandom),
        })
    }

    /// Models, the twin of the place, and the enrollment group.
    pub(super) async fn prepare(&self, checks: &mut Checks) -> Result<()> {
        let models = [include_str!("models/thermostat.json"), include_str!("models/space.json")];
        let models: Result<Vec<Value>, _> = models.into_iter().map(serde_json::from_str).collect();
        let made = self
            .twins
            .post("/models")
            .json(Value::Array(models?))
            .send()
            .await
            .context("cannot upload the models")?;
        checks.count("the models are uploaded", made.body.as_array().map_or(0, Vec::len), 2);
        let hall = json!({ "$metadata": { "$model": SPACE }, "DisplayName": "Hall" });
        self.twins
            .put(&format!("/digitaltwins/{HALL}"))
            .json(hall)
            .send()
            .await
            .context("cannot create the hall's twin")?;
        let app = pick("function app", &self.session.connections.functions, None)?;
        let keys = json!({ "primaryKey": self.group_key.reveal() });
        let group = json!({
            "enrollmentGroupId": GROUP,
            "attestation": { "type": "symmetricKey", "symmetricKey": keys },
            "allocationPolicy": "custom",
            "customAllocationDefinition": { "webhookUrl": app.allocate_url },
        });
        let path = format!("/enrollmentGroups/{GROUP}");
        self.dps.put(&path).json(group).send().await.context("cannot create the enrollment group")?;
        let found = self.dps.get(&path).send().await?;
        let custom = found.body["allocationPolicy"] == "custom";
        checks.add("the enrollment group with custom allocation is there", custom, GROUP);
        Ok(())
    }

    /// Where the provisioning service takes devices.
    pub(super) fn provisioning(&self) -> Result<Endpoint> {
        self.session.mqtt(&pick("dps", &self.session.connections.dps, None)?.host_name)
    }

    /// Where a hub takes devices.
    pub(super) fn hub_endpoint(&self, host: &str) -> Result<Endpoint> {
        self.session.mqtt(host)
    }

    /// The credential of a device of the group: its key is derived from the group's.
    pub(super) fn credential(&self, id: &str) -> Credential {
        Credential::Key(self.group_key.derive(id).bytes())
    }

    /// What a device says when it registers.
    pub(super) fn registration(&self, id: &str, patience: Duration) -> Registration {
        let payload = json!({ "modelId": THERMOSTAT });
        let mut registration = Registration::new(&self.id_scope, id, self.credential(id)).payload(payload);
        registration.timeout = patience;
        registration
    }

    /// A twin; none when it is not there.
    pub(super) async fn twin(&self, id: &str) -> Result<Option<Value>> {
        let answer = self.twins.get(&format!("/digitaltwins/{}", segment(id))).send().await;
        match answer {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Rows of a twins query.
    pub(super) async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let paging = Paging::Token { path: "/query".to_owned(), query: query.to_owned() };
        let rows = self.twins.pages(paging).page_size(100).collect(usize::MAX).await;
        rows.with_context(|| format!("the query failed: {query}"))
    }

    /// How many rows a query counts.
    pub(super) async fn count(&self, from: &str) -> Result<usize> {
        let rows = self.query(&format!("SELECT COUNT() FROM {from}")).await?;
        let count = rows.first().and_then(|row| row["COUNT"].as_u64()).context("COUNT() gave no number")?;
        Ok(usize::try_from(count)?)
    }

    /// How to reach the server, for those who stay.
    pub(super) fn addresses(&self) -> String {
        let data = self.folder.path().join("data").display().to_string();
        format!(
            "The server stays up until Ctrl-C. In another terminal:\n  export POLLUX_DATA_DIR={data}\n  \
             pollux connections\n  pollux twin query -q 'SELECT * FROM DIGITALTWINS'\n  \
             pollux dps enrollment-group show --enrollment-id {GROUP} --show-keys"
        )
    }

    /// Stays up until Ctrl-C or SIGTERM.
    pub(super) async fn stay(&self) {
        let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return;
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {}
        }
    }

    /// Stops the server and removes the folder.
    pub(super) async fn strike(self) {
        self.running.stop().await;
    }
}
