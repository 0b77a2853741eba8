//! What must hold of settings beside their form, and what each accepts, in words.

use std::net::IpAddr;

use pollux_services::steps::Step;

use super::Config;
use super::environment::Override;
use super::error::{ConfigError, Place};
use super::place::Source;

/// What a setting accepts.
pub(super) fn accepted(key: &str) -> Option<&'static str> {
    Some(match key {
        "server.domain" => "a host name, such as localhost or pollux.example.com",
        "server.node" => "a name of 1 to 63 letters, digits and hyphens, such as node-1",
        "server.data_dir" => "a path",
        "server.extra_names" => {
            "a list of host names and addresses, such as [\"pollux.lan\", \"192.168.1.7\"]"
        }
        "listen.addresses" => "a list of IP addresses, such as [\"127.0.0.1\", \"::1\"]",
        "listen.https" => "a list of at least one port, each 0 (any free one) to 65535, such as [443, 8443]",
        "listen.mqtt" => "a list of ports, each 0 (any free one) to 65535, such as [8883]",
        "tls.certificate" | "tls.key" | "tls.ca" => "the path of a PEM file; certificate and key go together",
        "tls.trust" => "a list of paths of PEM files",
        "state.url" => "postgres://user:password@host:5432/database?sslmode=verify-full",
        "state.connections" => "a whole number, 2 or more",
        "events.url" => {
            "nats://user:password@host:4222 or tls://user:password@host:4222, several separated by commas"
        }
        "events.prefix" => "1 to 32 letters, digits, hyphens and underscores, such as pollux",
        "events.replicas" => "a whole number, 1 to 5, such as 3; as many NATS servers are needed",
        "state.ca" | "events.ca" => "the path of a PEM file, beside a url in the same section",
        "events.credentials" => "the path of a .creds file, beside a url in the same section",
        "log.filter" => "error, warn, info, debug, trace, or such as \"info,pollux_services=debug\"",
        "log.json" => "true or false",
        "identity.issuers" | "identity.issuers.issuer" => {
            "an https URL (http only on localhost), exactly as the tokens' iss says it"
        }
        "jobs.hosts" => "a list of host names and addresses, such as [\"127.0.0.1\", \"blobs.plant.lan\"]",
        "faults.crash_at" => {
            "a step of a device's life, such as registration/recorded; all of them are in docs/operations/faults.md"
        }
        "jobs.folder" => "the absolute path of a folder",
        "files.folder" => "the path of a folder; with several nodes one that all of them share",
        "limits.registration_retry_after_seconds" => "a whole number of seconds",
        "limits.dtdl_version" => "2, 3 or 4",
        _ if key.starts_with("limits.") => "a whole number, 1 or more",
        _ => return None,
    })
}

/// A setting that does not hold.
pub(super) struct Problem {
    key: &'static str,
    problem: String,
}

impl Problem {
    /// With the place where the setting was made.
    pub(super) fn placed(self, source: &Source<'_>, overrides: &[Override]) -> ConfigError {
        let by_variable = overrides.iter().rev().find(|one| one.sets(self.key));
        let place = match by_variable {
            Some(one) => Place::Variable(one.variable.clone()),
            None => source.find(self.key).unwrap_or_else(|| source.whole()),
        };
        ConfigError { place, problem: self.problem, accepted: accepted(self.key).map(str::to_owned) }
    }
}

fn problem(key: &'static str, problem: impl Into<String>) -> Problem {
    Problem { key, problem: problem.into() }
}

/// The first setting that does not hold.
pub(super) fn check(config: &Config) -> Result<(), Problem> {
    if !is_host_name(&config.server.domain) {
        return Err(problem("server.domain", format!("'{}' is no host name", config.server.domain)));
    }
    if config.server.data_dir.as_os_str().is_empty() {
        return Err(problem("server.data_dir", "it is empty"));
    }
    let named = |name: &&String| !is_host_name(name) && name.parse::<IpAddr>().is_err();
    if let Some(bad) = config.server.extra_names.iter().find(named) {
        return Err(problem("server.extra_names", format!("'{bad}' is neither a host name nor an address")));
    }
    if config.listen.addresses.is_empty() {
        return Err(problem("listen.addresses", "the list is empty"));
    }
    if config.listen.https.is_empty() {
        return Err(problem("listen.https", "the list is empty"));
    }
    if config.tls.certificate.is_some() != config.tls.key.is_some() {
        return Err(problem(
            "tls.certificate",
            "there is a certificate without a key, or a key without a certificate",
        ));
    }
    if let Err(error) = crate::logging::filter(&config.log.filter) {
        return Err(problem("log.filter", format!("'{}' is no filter: {error}", config.log.filter)));
    }
    for one in &config.identity.issuers {
        let local = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
        if !one.issuer.starts_with("https://") && !local.iter().any(|prefix| one.issuer.starts_with(prefix)) {
            return Err(problem("identity.issuers.issuer", format!("'{}' is no https URL", one.issuer)));
        }
    }
    if let Some(step) = config.faults.crash_at.as_ref().filter(|step| Step::named(step).is_none()) {
        return Err(problem("faults.crash_at", format!("'{step}' is no step")));
    }
    check_backends(config)?;
    check_limits(config)
}

/// Never shows a URL: it may carry a password.
fn check_backends(config: &Config) -> Result<(), Problem> {
    let (state, events) = (&config.state, &config.events);
    let word = |text: &str, longest: usize, also: &[u8]| {
        let good = |b: u8| b.is_ascii_alphanumeric() || also.contains(&b);
        (1..=longest).contains(&text.len()) && text.bytes().all(good)
    };
    if let Some(node) = config.server.node.as_ref().filter(|node| !word(node, 63, b"-")) {
        return Err(problem("server.node", format!("'{node}' is no name of a node")));
    }
    if let Some(url) = &state.url {
        let known = |scheme: &str| ["postgres", "postgresql"].contains(&scheme);
        scheme(&url.0).filter(|scheme| known(scheme)).ok_or_else(|| unknown_scheme("state.url", &url.0))?;
    }
    if let Some(url) = &events.url {
        let known = |scheme: &str| ["nats", "tls"].contains(&scheme);
        // Behind the first, a host and port alone will do.
        let bare = |at: usize, one: &str| at > 0 && !one.is_empty() && !one.contains("://");
        for (at, one) in url.0.split(',').map(str::trim).enumerate() {
            if !bare(at, one) && !scheme(one).is_some_and(known) {
                return Err(unknown_scheme("events.url", one));
            }
        }
    }
    if !word(&events.prefix, 32, b"-_") {
        return Err(problem("events.prefix", format!("'{}' is no prefix", events.prefix)));
    }
    if !(1..=5).contains(&events.replicas) {
        return Err(problem("events.replicas", format!("it is {}", events.replicas)));
    }
    if state.connections < 2 {
        return Err(problem("state.connections", format!("it is {}", state.connections)));
    }
    let alone = "there is no url it could be for";
    match (&state.url, &events.url) {
        (None, _) if state.ca.is_some() => Err(problem("state.ca", alone)),
        (_, None) if events.ca.is_some() => Err(problem("events.ca", alone)),
        (_, None) if events.credentials.is_some() => Err(problem("events.credentials", alone)),
        _ => Ok(()),
    }
}

/// What stands before `://`, if it can be a scheme.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    ((1..=16).contains(&scheme.len()) && scheme.bytes().all(good)).then_some(scheme)
}

fn unknown_scheme(key: &'static str, url: &str) -> Problem {
    match scheme(url) {
        Some(scheme) => problem(key, format!("'{scheme}://' is not known here")),
        None => problem(key, "it is no URL"),
    }
}

/// Event Hubs' 1 MiB, which event logs are made for.
const LARGEST_EVENT: usize = 1024 * 1024;

fn check_limits(config: &Config) -> Result<(), Problem> {
    let limits = &config.limits;
    let sizes: [(&'static str, usize); 26] = [
        ("limits.device_message", limits.device_message),
        ("limits.cloud_message", limits.cloud_message),
        ("limits.device_twin_properties", limits.device_twin_properties),
        ("limits.device_twin_tags", limits.device_twin_tags),
        ("limits.request_body", limits.request_body),
        ("limits.digital_twin", limits.digital_twin),
        ("limits.digital_twin_string", limits.digital_twin_string),
        ("limits.digital_twin_name", limits.digital_twin_name),
        ("limits.model", limits.model),
        ("limits.models", limits.models),
        ("limits.models_per_request", limits.models_per_request),
        ("limits.models_body", limits.models_body),
        ("limits.cascade", limits.cascade),
        ("limits.webhook_answer", limits.webhook_answer),
        ("limits.registration_payload", limits.registration_payload),
        ("limits.endpoints", limits.endpoints),
        ("limits.event_routes", limits.event_routes),
        ("limits.enrollment_groups", limits.enrollment_groups),
        ("limits.linked_hubs", limits.linked_hubs),
        ("limits.bulk_enrollments", limits.bulk_enrollments),
        ("limits.ca_certificates", limits.ca_certificates),
        ("limits.event", limits.event),
        ("limits.consumer_groups", limits.consumer_groups),
        ("limits.policies", limits.policies),
        ("limits.connections", limits.connections),
        ("limits.unauthenticated_connections", limits.unauthenticated_connections),
    ];
    let times: [(&'static str, u64); 13] = [
        ("limits.cloud_messages", u64::from(limits.cloud_messages)),
        ("limits.cloud_message_lock_seconds", limits.cloud_message_lock_seconds),
        ("limits.webhook_timeout_seconds", limits.webhook_timeout_seconds),
        ("limits.event_webhook_timeout_seconds", limits.event_webhook_timeout_seconds),
        ("limits.webhook_attempts", u64::from(limits.webhook_attempts)),
        ("limits.registrations", limits.registrations),
        ("limits.individual_enrollments", limits.individual_enrollments),
        ("limits.registration_polls", u64::from(limits.registration_polls)),
        ("limits.registration_poll_seconds", limits.registration_poll_seconds),
        ("limits.allocation_attempts", u64::from(limits.allocation_attempts)),
        ("limits.handshake_timeout_seconds", limits.handshake_timeout_seconds),
        ("limits.function_attempts", u64::from(limits.function_attempts)),
        ("limits.dead_letters", u64::from(limits.dead_letters)),
    ];
    let zero = sizes.iter().find(|one| one.1 == 0).map(|one| one.0);
    match zero.or_else(|| times.iter().find(|one| one.1 == 0).map(|one| one.0)) {
        Some(key) => Err(problem(key, "it is 0")),
        None if !(2..=4).contains(&limits.dtdl_version) => {
            Err(problem("limits.dtdl_version", format!("DTDL {} is not known", limits.dtdl_version)))
        }
        None if limits.event > LARGEST_EVENT => {
            Err(problem("limits.event", format!("no event log takes more than {LARGEST_EVENT} bytes")))
        }
        None => Ok(()),
    }
}

fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
