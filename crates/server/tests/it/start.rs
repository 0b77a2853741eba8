//! First and second start, permissions, what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pollux_server::{Connections, ServeError};
use pollux_testkit::TestServer;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn stored(folder: &Path) -> Connections {
    let text = std::fs::read_to_string(folder.join("pollux-data/connections.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_second_start_finds_everything_as_it_was() {
    let server = TestServer::start().await;
    let first = server.connections();
    let ca = server.ca_pem();
    let folder = server.stop().await;
    assert_eq!(first, stored(folder.path()));
    let server = TestServer::start_in(folder, |_| {}).await;
    let mut second = server.connections();
    assert_eq!(ca, server.ca_pem());
    // Only the ports, which the tests leave to chance, and what is made from them may differ.
    second.ports = first.ports.clone();
    second.admin.url = first.admin.url.clone();
    second.identity.authority = first.identity.authority.clone();
    second.twins[0].url = first.twins[0].url.clone();
    second.functions[0].url = first.functions[0].url.clone();
    let code = |url: &str| url.split_once("?code=").unwrap().1.to_owned();
    assert_eq!(code(&first.functions[0].allocate_url), code(&second.functions[0].allocate_url));
    second.functions[0].allocate_url = first.functions[0].allocate_url.clone();
    assert!(first == second, "connection information changed between starts");
}

#[tokio::test]
async fn the_data_folder_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("pollux-data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    let _server = TestServer::start_in(folder, |_| {}).await;
    assert_eq!(mode(&data), 0o700, "an open folder is closed");
    for file in ["ca.key", "server.key", "connections.json", "state.db", "lock"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn two_servers_do_not_share_a_folder() {
    let server = TestServer::start().await;
    let data_dir = server.connections().data_dir;
    let mut config = TestServer::config(Path::new("/unused"));
    config.server.data_dir = data_dir.into();
    let error = pollux_server::start(config).await.unwrap_err();
    assert!(matches!(error, ServeError::InUse(_)), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn a_port_in_use_is_left_out_only_if_there_is_another() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let server = TestServer::start_with(|config| config.listen.https = vec![port, 0]).await;
    assert_eq!(server.running.ports.https.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let mut config = TestServer::config(folder.path());
    config.listen.https = vec![port];
    let error = pollux_server::start(config).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn a_declared_resource_that_cannot_be_made_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TestServer::config(folder.path());
    config.resources.hub.push(pollux_services_hub("Not A Name"));
    let error = pollux_server::start(config).await.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no resource name"), "{error}");
}

fn pollux_services_hub(name: &str) -> pollux_services::resources::declared::DeclaredHub {
    pollux_services::resources::declared::DeclaredHub { name: name.to_owned(), ..Default::default() }
}
