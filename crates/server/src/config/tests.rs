use super::*;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(Some(Path::new("pollux.toml")), text, variables).map_err(|error| error.to_string())
}

#[test]
fn nothing_is_needed() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.server.domain, "localhost");
    assert_eq!(config.listen.https, [443, 8443]);
    assert_eq!(config.listen.mqtt, [8883]);
    assert!(config.declared().is_empty());
}

#[test]
fn a_file_and_the_environment_go_together() {
    let text = r#"
        [server]
        domain = "pollux.example.com"
        extra_names = ["pollux.lan"]
        [listen]
        addresses = ["0.0.0.0"]
        [limits]
        connections = 10
        [[identity.issuers]]
        issuer = "https://login.example.com/"
        audience = "api://pollux"
        mapping = { admins = ["Azure Digital Twins Data Owner"] }
        [[resources.hub]]
        name = "plant"
        routes = [{ name = "all", source = "DeviceMessages", endpoint = "out" }]
        [[resources.dps]]
        name = "front"
        linked_hubs = [{ hub = "plant" }]
    "#;
    let variables = [
        ("POLLUX_LISTEN__HTTPS", "8443"),
        ("POLLUX_LISTEN__MQTT", "[1883, 8883]"),
        ("POLLUX_SERVER__EXTRA_NAMES", "a.lan, 10.0.0.1"),
        ("POLLUX_SERVER__DATA_DIR", "/var/lib/pollux"),
        ("POLLUX_LIMITS__CONNECTIONS", "20"),
        ("POLLUX_LOG__JSON", "true"),
        ("POLLUX_CONFIG", "ours to leave alone"),
        ("HOME", "/root"),
    ];
    let config = parse(text, &variables).unwrap();
    assert_eq!(config.server.domain, "pollux.example.com");
    assert_eq!(config.server.extra_names, ["a.lan", "10.0.0.1"]);
    assert_eq!(config.server.data_dir, Path::new("/var/lib/pollux"));
    assert_eq!(
        (config.listen.https.as_slice(), config.listen.mqtt.as_slice()),
        (&[8443][..], &[1883, 8883][..])
    );
    assert_eq!(config.limits.connections, 20);
    assert!(config.log.json);
    assert_eq!(config.declared().len(), 2);
    assert_eq!(config.identity.issuers[0].role_claim, "roles");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn a_bad_file_is_refused_with_line_key_and_what_is_accepted() {
    let table = [
        ("[server\n", "pollux.toml:1: "),
        (
            "\n[serverr]\n",
            "pollux.toml:2: serverr: unknown field `serverr`, expected one of `server`, `listen`",
        ),
        (
            "[server]\ndomian = \"x\"",
            "pollux.toml:2: server.domian: unknown field `domian`, expected one of `domain`",
        ),
        (
            "[state]\nuri = \"x\"",
            "pollux.toml:2: state.uri: unknown field `uri`, expected one of `url`, `ca`",
        ),
        (
            "[state]\n\nurl = \"mysql://u:hunter2@h/x\"",
            "pollux.toml:3: state.url: 'mysql://' is not known here; accepted: postgres://user:password@host",
        ),
        ("[state]\nurl = \"hunter2\"", "pollux.toml:2: state.url: it is no URL; accepted: postgres://"),
        ("[state]\nurl = postgres://u:hunter2@h/x", "pollux.toml:2: "),
        ("[state]\nurl = [\"postgres://u:hunter2@h/x\"]", "pollux.toml:2: state.url: invalid type: sequence"),
        (
            "[state]\nconnections = 1",
            "pollux.toml:2: state.connections: it is 1; accepted: a whole number, 2",
        ),
        ("[state]\nca = \"a.pem\"", "pollux.toml:2: state.ca: there is no url it could be for"),
        (
            "[events]\nurl = \"nats://u:hunter2@a:1,http://u:hunter2@b\"",
            "pollux.toml:2: events.url: 'http://' is not known here; accepted: nats://user:password@host:4222 or tls",
        ),
        (
            "[events]\nurl = \"u:hunter2@a:4222\"",
            "pollux.toml:2: events.url: it is no URL; accepted: nats://",
        ),
        ("[events]\nurl = \"nats://a:4222,\"", "pollux.toml:2: events.url: it is no URL"),
        ("[events]\nprefix = \"a.b\"", "pollux.toml:2: events.prefix: 'a.b' is no prefix; accepted: 1 to 32"),
        (
            "[events]\nreplicas = 6",
            "pollux.toml:2: events.replicas: it is 6; accepted: a whole number, 1 to 5",
        ),
        ("[events]\ncredentials = \"a.creds\"", "pollux.toml:2: events.credentials: there is no url"),
        (
            "[server]\nnode = \"a.b\"",
            "pollux.toml:2: server.node: 'a.b' is no name of a node; accepted: a name",
        ),
        (
            "[server]\n\ndomain = 7 # seven",
            "pollux.toml:3: server.domain: invalid type: integer `7`, expected a string; accepted: a host name",
        ),
        (
            "[server]\ndomain = \"-x\"",
            "pollux.toml:2: server.domain: '-x' is no host name; accepted: a host name",
        ),
        (
            "[listen]\nhttps = [443,\n  70000]",
            "listen.https: invalid value: integer `70000`, expected u16; accepted: a list of at least one port",
        ),
        (
            "[listen]\nhttps = []",
            "pollux.toml:2: listen.https: the list is empty; accepted: a list of at least one port",
        ),
        (
            "[listen]\naddresses = [\"here\"]",
            "listen.addresses: invalid IP address syntax; accepted: a list of IP",
        ),
        (
            "[limits]\nconnections = 0",
            "pollux.toml:2: limits.connections: it is 0; accepted: a whole number, 1 or more",
        ),
        (
            "[limits]\ndtdl_version = 5",
            "pollux.toml:2: limits.dtdl_version: DTDL 5 is not known; accepted: 2, 3 or 4",
        ),
        ("[limits]\nconnections = -1", "limits.connections: invalid value: integer `-1`"),
        ("[limits]\nspeed = 1", "unknown field `speed`, expected one of `device_message`"),
        ("[tls]\ncertificate = \"a.pem\"", "tls.certificate: there is a certificate without a key"),
        ("[log]\nfilter = \"loud=very\"", "pollux.toml:2: log.filter: 'loud=very' is no filter"),
        (
            "[[identity.issuers]]\nissuer = \"http://x\"\naudience = \"a\"",
            "pollux.toml:2: identity.issuers.issuer: 'http://x' is no https URL",
        ),
        ("[[identity.issuers]]\nissuer = \"https://x\"", "missing field `audience`"),
        (
            "[[resources.hub]]\nname = \"hub-a\"\nroutes = [{ name = \"r\", source = \"Devices\", endpoint = \"e\" }]",
            "unknown variant `Devices`, expected one of `DeviceMessages`, `DeviceLifecycleEvents`",
        ),
        (
            "[[resources.hubs]]\nname = \"hub-a\"",
            "unknown field `hubs`, expected one of `dps`, `hub`, `events`",
        ),
        ("server.domain = \"a\"\nserver.domain = \"b\"", "pollux.toml:2: "),
    ];
    for (text, expected) in table {
        let error = parse(text, &[]).unwrap_err();
        assert!(error.contains(expected), "{text:?}\n  gave     {error}\n  expected {expected}");
        assert!(error.starts_with("pollux.toml"), "{error}");
        assert!(!error.contains("hunter2"), "a password is shown: {error}");
    }
}

#[test]
fn backends_are_named_by_file_or_environment_and_their_urls_are_not_shown() {
    let text = r#"
        [server]
        node = "node-1"
        [state]
        url = "postgresql://u:hunter2@db/pollux"
        ca = "db.pem"
        connections = 4
        [events]
        replicas = 3
        ca = "nats.pem"
    "#;
    let events = "tls://u:hunter2@h1:4222,h2:4222, tls://h3";
    let config =
        parse(text, &[("POLLUX_EVENTS__URL", events), ("POLLUX_EVENTS__PREFIX", "plant_1")]).unwrap();
    assert_eq!(config.events.url.as_ref().map(|url| url.0.as_str()), Some(events));
    assert_eq!((config.events.prefix.as_str(), config.events.replicas), ("plant_1", 3));
    assert_eq!((config.state.connections, config.server.node.as_deref()), (4, Some("node-1")));
    assert!(!format!("{config:?}").contains("hunter2"));
    let config = parse("", &[]).unwrap();
    assert!(config.state.url.is_none() && config.events.url.is_none());
    assert_eq!((config.state.connections, config.events.replicas), (16, 1));
}

#[test]
fn a_bad_variable_is_refused_by_name() {
    let table = [
        ("POLLUX_LISTEN__HTTPS", "many", "expected a sequence; accepted: a list of at least one port"),
        ("POLLUX_LISTEN__HTTPS", "", "the list is empty; accepted: a list of at least one port"),
        ("POLLUX_SERVER__DOMAIN", "a b", "'a b' is no host name; accepted: a host name"),
        ("POLLUX_SERVER__COLOUR", "red", "unknown field `colour`, expected one of `domain`"),
        ("POLLUX_NOWHERE__KEY", "1", "unknown field `nowhere`, expected one of `server`"),
        ("POLLUX_LOG__JSON", "maybe", "expected a boolean; accepted: true or false"),
        ("POLLUX_LIMITS__CONNECTIONS", "0", "it is 0; accepted: a whole number, 1 or more"),
        ("POLLUX_STATE__URL", "redis://u:hunter2@h", "'redis://' is not known here; accepted: postgres://"),
        ("POLLUX_EVENTS__URL", "", "it is no URL; accepted: nats://"),
        ("POLLUX_EVENTS__REPLICAS", "0", "it is 0; accepted: a whole number, 1 to 5"),
    ];
    for (name, value, expected) in table {
        let error = parse("[server]\ndomain = \"good\"", &[(name, value)]).unwrap_err();
        assert!(error.starts_with(&format!("environment variable {name}: ")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains(expected), "{name}={value}\n  gave     {error}\n  expected {expected}");
    }
}

#[test]
fn a_device_may_be_told_to_poll_at_once() {
    assert!(parse("[limits]\nregistration_retry_after_seconds = 0", &[]).is_ok());
}

#[test]
fn a_bad_resource_name_is_refused_where_it_stands() {
    let text = "[server]\n\n[[resources.hub]]\nname = \"Bad Name\"\n";
    let error = parse(text, &[]).unwrap_err();
    assert!(error.starts_with("pollux.toml:4"), "{error}");
    assert!(error.contains("'Bad Name' is no resource name: use 3 to 50"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Some(Path::new("/nowhere/pollux.toml"))).unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/pollux.toml: the file cannot be read"), "{error}");
}
