//! Names of this machine and of its resources.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pollux_services::resources::ResourceTable;

use crate::config::Config;

/// Names that mean this machine, whichever service is asked for.
pub(crate) fn local(config: &Config) -> Vec<String> {
    let mut names: BTreeSet<String> =
        BTreeSet::from(["localhost".to_owned(), config.server.domain.to_ascii_lowercase()]);
    names.extend(config.server.extra_names.iter().map(|name| name.to_ascii_lowercase()));
    names.into_iter().collect()
}

/// Names the server's certificate must bear: this machine's, its addresses, each resource's.
pub(crate) fn certified(config: &Config, table: &ResourceTable) -> Vec<String> {
    let mut names: BTreeSet<String> = local(config).into_iter().collect();
    names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    names.extend(config.listen.addresses.iter().filter(|one| !one.is_unspecified()).map(IpAddr::to_string));
    for resource in table.all().iter() {
        names.insert(resource.host_name.to_ascii_lowercase());
        names.insert(format!("{}.{}", resource.name, config.server.domain.to_ascii_lowercase()));
    }
    names.into_iter().collect()
}
