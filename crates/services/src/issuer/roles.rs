//! Audiences and roles: which service a token is for, and what its roles allow there.
//!
//! Role names are those of Azure's built-in roles (article "Azure built-in roles", sections Internet of Things and
//! Analytics).

use pollux_model::resource::{PolicyRight, ResourceKind};

use crate::caller::{HubAction, Right};

/// What the first client may do: everything that tokens can allow.
pub const DEFAULT_ROLES: &[&str] = &[
    "Azure Digital Twins Data Owner",
    "IoT Hub Data Contributor",
    "Device Provisioning Service Data Contributor",
    "Azure Event Hubs Data Owner",
];

/// The application id that `az dt` asks a token for (the first-party application "Azure Digital Twins").
const TWINS_APPLICATION: &str = "0b07f429-9f4b-4714-9392-cc5e8e80c8b0";

/// The audiences we issue tokens for, and the kind of resource each opens.
pub(super) fn audiences() -> impl Iterator<Item = (&'static str, ResourceKind)> {
    [
        ("https://digitaltwins.azure.net", ResourceKind::Twins),
        ("https://iothubs.azure.net", ResourceKind::Hub),
        ("https://azure-devices-provisioning.net", ResourceKind::Dps),
        ("https://eventhubs.azure.net", ResourceKind::Events),
    ]
    .into_iter()
}

/// The audience a scope asks for: `<audience>/.default`, one or two slashes. Other scopes beside it are OpenID's own.
pub(super) fn audience_of_scope(scope: &str) -> Option<&'static str> {
    let mut wanted =
        scope.split_ascii_whitespace().filter(|one| !["openid", "profile", "offline_access"].contains(one));
    let (first, None) = (wanted.next()?, wanted.next()) else { return None };
    let resource = first.strip_suffix("/.default")?.trim_end_matches('/');
    if resource.eq_ignore_ascii_case(TWINS_APPLICATION) {
        return audiences().find(|(_, kind)| *kind == ResourceKind::Twins).map(|(uri, _)| uri);
    }
    audiences().find(|(uri, _)| uri.eq_ignore_ascii_case(resource)).map(|(uri, _)| uri)
}

/// The kind of resource an audience of ours opens.
pub(super) fn kind_of_audience(audience: &str) -> Option<ResourceKind> {
    audiences().find(|(uri, _)| *uri == audience).map(|(_, kind)| kind)
}

/// What these roles allow on resources of a kind.
pub(super) fn rights(kind: ResourceKind, roles: &[String]) -> Vec<Right> {
    let held = |(of, name, _): &&Role| *of == kind && roles.iter().any(|role| role == name);
    let mut rights: Vec<Right> =
        ROLES.iter().filter(held).flat_map(|(_, _, rights)| *rights).copied().collect();
    rights.dedup();
    rights
}

/// The roles that allow it on resources of a kind, those that allow least first.
pub(crate) fn roles_with(kind: ResourceKind, right: Right) -> Vec<&'static str> {
    let mut roles: Vec<&Role> =
        ROLES.iter().filter(|(of, _, rights)| *of == kind && right.is_held(rights)).collect();
    // Whoever has the rights of policies has all that they amount to.
    roles.sort_by_key(|(_, _, rights)| {
        (rights.iter().any(|one| matches!(one, Right::Policy(_))), rights.len())
    });
    roles.into_iter().map(|(_, name, _)| *name).collect()
}

type Role = (ResourceKind, &'static str, &'static [Right]);

/// What each role allows: of hubs, the `dataActions` of its definition (article "Azure built-in roles for Internet of
/// Things").
const ROLES: &[Role] = {
    use HubAction::{
        ConfigurationsRead, DevicesDelete, DevicesRead, DevicesWrite, FileNotifications, JobsRead,
        StatisticsRead, TwinsRead as HubTwinsRead, TwinsWrite as HubTwinsWrite,
    };
    use PolicyRight::{
        EnrollmentRead, EnrollmentWrite, Listen, Manage, RegistrationStatusRead, RegistrationStatusWrite,
        RegistryRead, RegistryWrite, Send, ServiceConfig, ServiceConnect,
    };
    use Right::{Hub, Policy, TwinsRead, TwinsWrite};
    &[
        (ResourceKind::Twins, "Azure Digital Twins Data Owner", &[TwinsRead, TwinsWrite]),
        (ResourceKind::Twins, "Azure Digital Twins Data Reader", &[TwinsRead]),
        (
            ResourceKind::Hub,
            "IoT Hub Data Contributor",
            &[Policy(RegistryRead), Policy(RegistryWrite), Policy(ServiceConnect)],
        ),
        (
            ResourceKind::Hub,
            "IoT Hub Data Reader",
            &[
                Hub(DevicesRead),
                Hub(HubTwinsRead),
                Hub(JobsRead),
                Hub(StatisticsRead),
                Hub(ConfigurationsRead),
                Hub(FileNotifications),
            ],
        ),
        (
            ResourceKind::Hub,
            "IoT Hub Registry Contributor",
            &[Hub(DevicesRead), Hub(DevicesWrite), Hub(DevicesDelete)],
        ),
        (ResourceKind::Hub, "IoT Hub Twin Contributor", &[Hub(HubTwinsRead), Hub(HubTwinsWrite)]),
        (
            ResourceKind::Dps,
            "Device Provisioning Service Data Contributor",
            &[
                Policy(ServiceConfig),
                Policy(EnrollmentRead),
                Policy(EnrollmentWrite),
                Policy(RegistrationStatusRead),
                Policy(RegistrationStatusWrite),
            ],
        ),
        (
            ResourceKind::Dps,
            "Device Provisioning Service Data Reader",
            &[Policy(EnrollmentRead), Policy(RegistrationStatusRead)],
        ),
        (
            ResourceKind::Events,
            "Azure Event Hubs Data Owner",
            &[Policy(Manage), Policy(Send), Policy(Listen)],
        ),
        (ResourceKind::Events, "Azure Event Hubs Data Sender", &[Policy(Send)]),
        (ResourceKind::Events, "Azure Event Hubs Data Receiver", &[Policy(Listen)]),
    ]
};
