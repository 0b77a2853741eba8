//! The arrows of ARCHITECTURE.md, read from the manifests: `pollux → server → edges → services → store, eventlog, bus → model`.
//! And: only the server names a backend (`sqlite`, `segment`) in its sources.

use super::{File, Finding, Tree};

/// For each of our packages, what it may depend on. A package that is not listed here is an error, so that a new crate gets its place.
const ARROWS: &[(&str, &[&str])] = &[
    ("pollux-model", &[]),
    ("pollux-dtdl", &["pollux-model"]),
    ("pollux-query", &["pollux-model"]),
    ("pollux-mqtt", &["pollux-model"]),
    ("pollux-amqp", &["pollux-model"]),
    ("pollux-x509", &["pollux-model"]),
    ("pollux-tpm", &["pollux-model"]),
    ("pollux-store", &["pollux-model", "pollux-query"]),
    ("pollux-eventlog", &["pollux-model"]),
    ("pollux-bus", &["pollux-model"]),
    (
        "pollux-services",
        &[
            "pollux-model",
            "pollux-dtdl",
            "pollux-query",
            "pollux-store",
            "pollux-eventlog",
            "pollux-bus",
            "pollux-amqp",
            "pollux-x509",
            "pollux-tpm",
            // What a hub routes elsewhere.
            "pollux-client",
        ],
    ),
    ("pollux-edges", &["pollux-model", "pollux-services", "pollux-mqtt", "pollux-amqp", "pollux-x509"]),
    (
        "pollux-server",
        &[
            "pollux-model",
            "pollux-edges",
            "pollux-services",
            "pollux-store",
            "pollux-eventlog",
            "pollux-bus",
            "pollux-amqp",
        ],
    ),
    ("pollux-client", &["pollux-model", "pollux-mqtt", "pollux-amqp"]),
    ("pollux", &["pollux-model", "pollux-dtdl", "pollux-amqp", "pollux-server", "pollux-client"]),
    (
        "pollux-testkit",
        &["pollux-model", "pollux-server", "pollux-client", "pollux-store", "pollux-eventlog"],
    ),
    ("pollux-bench", &["pollux-model", "pollux-client", "pollux-mqtt", "pollux-amqp", "pollux-testkit"]),
    // It reads the event log back by itself: what was stored twice or in the wrong order, no service would tell.
    ("pollux-faults", &["pollux-model", "pollux-client", "pollux-eventlog", "pollux-amqp", "pollux-testkit"]),
    ("pollux-fuzz", &["pollux-model", "pollux-amqp", "pollux-dtdl", "pollux-query"]),
    ("xtask", &["pollux-testkit"]),
];

/// Words that name a backend in source, and the crate that owns it.
const BACKENDS: &[(&str, &str)] = &[
    ("pollux_store::sqlite", "crates/store"),
    ("SqliteStore", "crates/store"),
    ("rusqlite", "crates/store"),
    ("pollux_eventlog::segment", "crates/eventlog"),
    ("SegmentLog", "crates/eventlog"),
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml"));
    let arrows = manifests.flat_map(arrows);
    arrows.chain(tree.rust().flat_map(backends)).collect()
}

fn arrows(manifest: &File) -> Vec<Finding> {
    let Ok(toml) = manifest.text.parse::<toml::Table>() else {
        return vec![Finding::new(&manifest.path, 1, "not valid TOML")];
    };
    let name = toml
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .unwrap_or("");
    let Some((_, allowed)) = ARROWS.iter().find(|(package, _)| *package == name) else {
        let message = format!(
            "`{name}` has no place among the layers: add it to xtask/src/tidy/layers.rs and ARCHITECTURE.md"
        );
        return vec![Finding::new(&manifest.path, 1, message)];
    };
    let depends = toml.get("dependencies").and_then(toml::Value::as_table);
    let ours = depends.into_iter().flatten().map(|(dependency, _)| dependency.as_str());
    ours.filter(|dependency| dependency.starts_with("pollux-") && !allowed.contains(dependency))
        .map(|dependency| {
            let line =
                manifest.lines().find(|(_, line)| line.starts_with(dependency)).map_or(1, |(line, _)| line);
            let known = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
            Finding::new(
                &manifest.path,
                line,
                format!("`{name}` may not know `{dependency}`: it may know {known}"),
            )
        })
        .collect()
}

fn backends(file: &File) -> Vec<Finding> {
    let found = |line: &str| {
        BACKENDS
            .iter()
            .find(|(word, owner)| line.contains(word) && !file.path.starts_with(owner))
            .map(|(word, _)| *word)
    };
    // The bench asks engines by themselves, as peers.
    if ["crates/server/", "xtask/", "bench/"].iter().any(|folder| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let named = file.product_lines().filter_map(|(line, text)| found(text).map(|word| (line, word)));
    named
        .map(|(line, word)| {
            let message =
                format!("`{word}` names a backend: only crates/server picks one; take the trait instead");
            Finding::new(&file.path, line, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let manifest = "[package]\nname = \"pollux-store\"\n[dependencies]\npollux-services.workspace = true\nserde = \"1\"\n";
        let findings = check(&Tree::of(&[("crates/store/Cargo.toml", manifest)]));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].line, findings[0].message.contains("pollux-services")), (4, true));
    }

    #[test]
    fn a_crate_without_a_place_is_found() {
        let findings = check(&Tree::of(&[("crates/new/Cargo.toml", "[package]\nname = \"pollux-new\"\n")]));
        assert!(findings[0].message.contains("no place among the layers"));
    }

    #[test]
    fn only_the_server_names_a_backend() {
        let text = "//! x\nuse pollux_store::sqlite::SqliteStore;\n";
        let tree = Tree::of(&[("crates/services/src/lib.rs", text), ("crates/server/src/compose.rs", text)]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "crates/services/src/lib.rs");
    }
}
