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
