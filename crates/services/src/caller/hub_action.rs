//! What is done to a hub, as Azure's roles name it, and the rights of shared access policies that allow it too.

use std::fmt;

use pollux_model::resource::PolicyRight;

/// A permission of the article "Control access to IoT Hub by using Microsoft Entra ID".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HubAction {
    DevicesRead,
    DevicesWrite,
    DevicesDelete,
    TwinsRead,
    TwinsWrite,
    JobsRead,
    JobsWrite,
    JobsDelete,
    MessagesSend,
    MessagesFeedback,
    MessagesPurge,
    MethodsInvoke,
    FileNotifications,
    StatisticsRead,
    ConfigurationsRead,
    ConfigurationsWrite,
    ConfigurationsDelete,
    ConfigurationsApply,
    ConfigurationsTest,
}

impl HubAction {
    /// The rights of a policy, all of them, that amount to it (article "Control access to IoT Hub with shared access
    /// signatures"). Who changes configurations changes twins.
    pub(super) const fn policy_rights(self) -> &'static [PolicyRight] {
        use PolicyRight::{RegistryRead, RegistryWrite, ServiceConnect};
        match self {
            Self::DevicesRead
            | Self::JobsRead
            | Self::StatisticsRead
            | Self::ConfigurationsRead
            | Self::ConfigurationsTest => &[RegistryRead],
            Self::DevicesWrite | Self::DevicesDelete | Self::JobsWrite | Self::JobsDelete => &[RegistryWrite],
            Self::TwinsRead
            | Self::TwinsWrite
            | Self::MessagesSend
            | Self::MessagesFeedback
            | Self::MessagesPurge
            | Self::MethodsInvoke
            | Self::FileNotifications => &[ServiceConnect],
            Self::ConfigurationsWrite | Self::ConfigurationsDelete | Self::ConfigurationsApply => {
                &[RegistryWrite, ServiceConnect]
            }
        }
    }
}

impl fmt::Display for HubAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::DevicesRead => "devices/read",
            Self::DevicesWrite => "devices/write",
            Self::DevicesDelete => "devices/delete",
            Self::TwinsRead => "twins/read",
            Self::TwinsWrite => "twins/write",
            Self::JobsRead => "jobs/read",
            Self::JobsWrite => "jobs/write",
            Self::JobsDelete => "jobs/delete",
            Self::MessagesSend => "cloudToDeviceMessages/send/action",
            Self::MessagesFeedback => "cloudToDeviceMessages/feedback/action",
            Self::MessagesPurge => "cloudToDeviceMessages/queue/purge/action",
            Self::MethodsInvoke => "directMethods/invoke/action",
            Self::FileNotifications => "fileUpload/notifications/action",
            Self::StatisticsRead => "statistics/read",
            Self::ConfigurationsRead => "configurations/read",
            Self::ConfigurationsWrite => "configurations/write",
            Self::ConfigurationsDelete => "configurations/delete",
            Self::ConfigurationsApply => "configurations/applyToEdgeDevice/action",
            Self::ConfigurationsTest => "configurations/testQueries/action",
        };
        write!(f, "Microsoft.Devices/IotHubs/{name}")
    }
}
