//! Names of this machine, of this process among the nodes, and of the resources.

use std::collections::BTreeSet;
use std::net::IpAddr;

use pollux_model::Random;
use pollux_services::resources::ResourceTable;

use crate::config::Config;

/// The longest a node's own part of its name is.
const LONGEST: usize = 63;

/// This process among the nodes of its deployment: a node that starts again is another.
pub(crate) fn node(config: &Config, random: &dyn Random) -> String {
    let name = config.server.node.clone().unwrap_or_else(host);
    let mut run = [0; 4];
    random.fill(&mut run);
    format!("{name}-{:08x}", u32::from_be_bytes(run))
}

/// The host's name, as far as it can be part of a subject.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let good = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().take(LONGEST).map(good).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

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
