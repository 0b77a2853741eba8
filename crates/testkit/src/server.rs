//! A server of the test's own: its data folder is temporary, its ports are free ones.

use std::path::Path;

use pollux_server::{Config, Connections, Running};
use tempfile::TempDir;

/// A running server. Stop it with [`TestServer::stop`] where the test looks at what is left; dropping it will do
/// otherwise.
#[derive(Debug)]
pub struct TestServer {
    /// The server.
    pub running: Running,
    folder: TempDir,
}

impl TestServer {
    /// Starts one with default settings; ready when this returns.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with some settings changed.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        Self::start_in(folder, change).await
    }

    /// Starts one in a folder that an earlier one may have left.
    pub async fn start_in(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config(folder.path());
        change(&mut config);
        let running = pollux_server::start(config).await.expect("the server starts");
        Self { running, folder }
    }

    /// What such a server is configured with: default resources, ports 0.
    #[must_use]
    pub fn config(folder: &Path) -> Config {
        let mut config = Config::default();
        config.server.data_dir = folder.join("pollux-data");
        config.listen.https = vec![0];
        config.listen.mqtt = vec![0];
        config.listen.amqp = vec![0];
        config.listen.amqp_plain = vec![0];
        config
    }

    /// What clients need to connect.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.running.connections().expect("a running server knows its connections")
    }

    /// Such as `https://localhost:41234`.
    #[must_use]
    pub fn url(&self) -> String {
        self.connections().admin.url
    }

    /// The HTTPS port.
    #[must_use]
    pub fn https_port(&self) -> u16 {
        self.running.ports.main()
    }

    /// The MQTT port.
    #[must_use]
    pub fn mqtt_port(&self) -> u16 {
        self.running.ports.mqtt.first().copied().expect("the server listens for MQTT")
    }

    /// The CA's certificate as PEM text.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.connections().ca).expect("the CA file is there")
    }

    /// An HTTP client that trusts this server's CA and nothing else.
    #[must_use]
    pub fn http(&self) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(self.ca_pem().as_bytes()).expect("the CA file is PEM");
        reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build().expect("the client is well made")
    }

    /// Stops the server and gives its folder back, for a second start.
    pub async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.folder
    }
}
