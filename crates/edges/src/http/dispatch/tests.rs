use super::*;

#[test]
fn a_path_leads_to_one_place() {
    let table = [
        ("/models", Place::Service(ResourceKind::Twins)),
        ("/models/dtmi%3Acom%3Aa%3B1", Place::Service(ResourceKind::Twins)),
        ("/digitaltwins/t1/relationships", Place::Service(ResourceKind::Twins)),
        ("/query", Place::Service(ResourceKind::Twins)),
        ("/eventroutes", Place::Service(ResourceKind::Twins)),
        ("/jobs/imports/j1", Place::Service(ResourceKind::Twins)),
        ("/jobs/deletions", Place::Service(ResourceKind::Twins)),
        ("/jobs/v2/j1", Place::Service(ResourceKind::Hub)),
        ("/devices/d1", Place::Service(ResourceKind::Hub)),
        ("/devices/query", Place::Service(ResourceKind::Hub)),
        ("/twins/d1/methods", Place::Service(ResourceKind::Hub)),
        ("/statistics/devices", Place::Service(ResourceKind::Hub)),
        ("/messages/serviceBound/feedback", Place::Service(ResourceKind::Hub)),
        ("/$iothub/websocket", Place::Service(ResourceKind::Hub)),
        ("/enrollments/e1", Place::Service(ResourceKind::Dps)),
        ("/enrollmentgroups/g/attestationmechanism", Place::Service(ResourceKind::Dps)),
        ("/enrollmentGroups/query", Place::Service(ResourceKind::Dps)),
        ("/registrations/r", Place::Service(ResourceKind::Dps)),
        ("/0ne0012ABCD/registrations/d1/register", Place::Service(ResourceKind::Dps)),
        ("/0ne0012ABCD/other", Place::Nowhere),
        ("/api/DpsAdtAllocationFunc", Place::Service(ResourceKind::Functions)),
        ("/admin/resources", Place::Admin),
        ("/health", Place::Health),
        ("/ready", Place::Health),
        ("/metrics", Place::Health),
        ("/common/discovery/instance", Place::Issuer),
        ("/5f0c/oauth2/v2.0/token", Place::Issuer),
        ("/5f0c/v2.0/.well-known/openid-configuration", Place::Issuer),
        ("/5f0c/discovery/v2.0/keys", Place::Issuer),
        ("/", Place::Nowhere),
        ("", Place::Nowhere),
        ("*", Place::Nowhere),
        ("/favicon.ico", Place::Nowhere),
        ("//models", Place::Nowhere),
        ("/ééé/registrations", Place::Nowhere),
    ];
    for (path, expected) in table {
        assert_eq!(place(path), expected, "{path}");
    }
}

#[test]
fn digital_twins_of_devices_are_told_apart() {
    for (path, credential, expected) in [
        ("/digitaltwins/d", "SharedAccessSignature sr=localhost", true),
        ("/DigitalTwins/d", "sharedaccesssignature sr=localhost", true),
        ("/digitaltwins/d", "Bearer x", false),
        ("/digitaltwins/d?api-version=2021-04-12", "Bearer x", true),
        ("/digitaltwins/d?API-Version=2020-05-31-PREVIEW", "Bearer x", true),
        ("/digitaltwins/d?api-version=2023-10-31", "Bearer x", false),
        ("/digitaltwins/d?api-version=2020-10-31&x=2021-04-12", "Bearer x", false),
        ("/digitaltwins/d?api-version=latest", "Bearer x", false),
        ("/digitaltwins/d", "", false),
        ("/digitaltwins/d/commands/c", "Bearer x", true),
        ("/digitaltwins/d/components/t/commands/c", "", true),
        ("/digitaltwins/d/components/commands", "Bearer x", false),
        ("/models", "SharedAccessSignature sr=localhost", false),
        ("/digitaltwins/d/relationships", "SharedAccessSignature sr=localhost", false),
    ] {
        let request = Request::builder().uri(path).header(AUTHORIZATION, credential);
        assert_eq!(is_of_device(&request.body(()).unwrap()), expected, "{path} {credential}");
    }
    let request = Request::builder().uri("/digitaltwins/d").header(AUTHORIZATION, "SharedAccessSignature x");
    // Hubs make and delete no digital twins.
    assert!(!is_of_device(&request.method(Method::PUT).body(()).unwrap()));
}

#[test]
fn ports_and_brackets_go() {
    for (host, expected) in [
        ("localhost", "localhost"),
        ("localhost:8443", "localhost"),
        ("[::1]:8443", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("127.0.0.1:443", "127.0.0.1"),
    ] {
        assert_eq!(without_port(host), expected);
    }
}

/// Knows whether it was told to close.
#[derive(Debug, Default)]
struct Link(tokio::sync::Notify);

impl pollux_services::hub::DeviceLink for Link {
    fn deliver(&self, command: pollux_services::hub::DeviceCommand) {
        if matches!(command, pollux_services::hub::DeviceCommand::Close { .. }) {
            self.0.notify_one();
        }
    }
}

#[tokio::test]
async fn a_request_is_carried_out_to_its_end_though_its_client_goes_away() {
    use crate::http::rest::fixture::Edge;
    let edge = Edge::new(ResourceKind::Hub, hub::router).await;
    let body = serde_json::json!({"deviceId": "d1"});
    edge.call("iothubowner", "PUT", "/devices/d1", &[], Some(body)).await.is(200);
    let link = Arc::new(Link::default());
    let id = pollux_model::DeviceAddress::parse("d1").unwrap();
    let now = edge.services.context.clock.now();
    let live = &edge.services.hub.connections;
    let (hub, device) = (edge.target.name.clone(), id.clone());
    let entering = pollux_services::hub::Entering::new(hub, device, "1".to_owned());
    let _place = live.enter(entering, Arc::clone(&link) as Arc<_>, now).await.unwrap();

    let about = About {
        connections: Arc::new(|| serde_json::Value::Null),
        metrics: Arc::new(String::new),
        readiness: Arc::default(),
    };
    let http = crate::http::Http::new(
        Arc::clone(&edge.services),
        about,
        crate::amqp::Amqp::new(Arc::clone(&edge.services)),
        crate::mqtt::Mqtt::new(Arc::clone(&edge.services)),
    );
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let request = format!(
        "DELETE /devices/d1?api-version=2021-04-12 HTTP/1.1\r\nHost: localhost\r\nIf-Match: *\r\nAuthorization: {}\r\n\r\n",
        edge.token("iothubowner")
    );
    tokio::io::AsyncWriteExt::write_all(&mut client, request.as_bytes()).await.unwrap();
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let admission = crate::accept::Gate::new(1, 1).admit(peer.ip()).unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let serving = tokio::spawn(http.serve(server, peer.into(), admission, shutdown));
    // Until the request is under way: it waits for the store then.
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    drop(client);
    serving.await.unwrap();

    let told = tokio::time::timeout(std::time::Duration::from_secs(10), link.0.notified()).await;
    assert!(told.is_ok(), "the device that was deleted is still connected");
}
