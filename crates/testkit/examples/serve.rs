//! Serves with defaults in the folder given, on free ports, until SIGTERM or SIGINT: for trying clients by hand.

use pollux_testkit::TestServer;

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).expect("usage: serve <folder>");
    let config = TestServer::config(std::path::Path::new(&folder));
    pollux_server::logging::start(&config.log);
    let shutdown = tokio_util::sync::CancellationToken::new();
    pollux_server::run(config, shutdown, pollux_server::Connections::human).await.expect("the server runs");
}
