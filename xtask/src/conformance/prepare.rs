//! What the scenarios need on this machine: namespaces (root), the clients from PyPI and npm at their pinned versions, and source
//! distributions whose tests are run.

use super::scenario::{Language, Scenario};
use crate::run::{Cmd, available};
use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Arguments of `unshare` that give a program namespaces of its own, which end with it and with everything in them.
pub(crate) const NAMESPACES: [&str; 8] =
    ["--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

/// Checks that network namespaces can be made here; otherwise the reason why not.
pub(crate) fn namespaces() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("needs Linux: each scenario has a network namespace of its own".to_owned());
    }
    if !available("unshare") || !available("ip") {
        return Err("needs `unshare` (util-linux) and `ip` (iproute2)".to_owned());
    }
    let probe = NAMESPACES.into_iter().chain(["ip", "link", "set", "lo", "up"]);
    match Cmd::new("unshare").args(probe).output() {
        Ok((true, ..)) => Ok(()),
        Ok((false, _, stderr)) => Err(format!("needs root to make a network namespace: {}", stderr.trim())),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// The interpreter for each language, or why there is none.
#[derive(Debug)]
pub(super) struct Clients {
    node: Result<PathBuf, String>,
    python: Result<PathBuf, String>,
    /// By list: what could not be fetched.
    sources: Vec<(String, String)>,
}

impl Clients {
    /// Installs what the chosen scenarios need and is not there yet. What cannot be installed is a reason to skip, not an error.
    pub(super) fn prepare(scenarios: &[Scenario]) -> Self {
        let needed = |language| scenarios.iter().any(|scenario| scenario.language == language);
        let of = |language, install: fn() -> Result<PathBuf>| {
            if needed(language) {
                install().map_err(|error| format!("no {language} clients: {error:#}"))
            } else {
                Err("not asked for".to_owned())
            }
        };
        let (node, python) = (of(Language::Node, node), of(Language::Python, python));
        let lists: BTreeSet<&String> = scenarios.iter().filter_map(|one| one.sources.as_ref()).collect();
        let fetched = lists.into_iter().filter_map(|list| {
            let interpreter = python.as_deref().ok()?;
            let error = sources(list, interpreter).err()?;
            Some((list.clone(), format!("no source distributions of {list}: {error:#}")))
        });
        let sources = fetched.collect();
        Self { node, python, sources }
    }

    /// The interpreter for a scenario, or why it cannot run.
    pub(super) fn of(&self, scenario: &Scenario) -> Result<&Path, String> {
        let missing = self.sources.iter().find(|(list, _)| scenario.sources.as_ref() == Some(list));
        if let Some((_, reason)) = missing {
            return Err(reason.clone());
        }
        let client = match scenario.language {
            Language::Node => &self.node,
            Language::Python => &self.python,
        };
        client.as_deref().map_err(Clone::clone)
    }
}

/// A virtual environment with exactly conformance/python/requirements.txt; returns its interpreter.
fn python() -> Result<PathBuf> {
    let wanted = workspace::root().join("conformance/python/requirements.txt");
    let venv = workspace::target().join("conformance/venv");
    let interpreter = venv.join("bin/python");
    if !fresh(&venv, &wanted)? {
        println!("installing the Python clients into {}", venv.display());
        run(
            Cmd::new("python3").args([Path::new("-m"), Path::new("venv"), Path::new("--clear"), &venv]),
            "python3 -m venv",
        )?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]
            .map(PathBuf::from);
        run(Cmd::new(&interpreter).args(pip.into_iter().chain([wanted.clone()])), "pip install")?;
        stamp(&venv, &wanted)?;
    }
    Ok(interpreter)
}

/// The folder that a list of source distributions is unpacked into.
pub(super) fn sources_folder(list: &str) -> PathBuf {
    workspace::target().join("conformance/sources").join(list.trim_end_matches(".txt").replace('/', "-"))
}

/// Fetches the source distributions of a list and unpacks them, each into the folder that it names itself.
fn sources(list: &str, interpreter: &Path) -> Result<()> {
    let wanted = workspace::root().join("conformance").join(list);
    let folder = sources_folder(list);
    if fresh(&folder, &wanted)? {
        return Ok(());
    }
    println!("fetching {list} into {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let quiet = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    let pinned = ["--no-binary", ":all:", "--require-hashes", "--requirement"];
    let fetch = quiet.into_iter().chain(pinned).map(PathBuf::from).chain([wanted.clone(), "--dest".into()]);
    run(Cmd::new(interpreter).args(fetch.chain([folder.clone()])), "pip download")?;
    let archives = std::fs::read_dir(&folder)?.map(|entry| Ok(entry?.path()));
    for archive in archives.collect::<Result<Vec<PathBuf>>>()? {
        let unpack = ["-m", "tarfile", "--extract"].map(PathBuf::from);
        run(Cmd::new(interpreter).args(unpack.into_iter().chain([archive, folder.clone()])), "tarfile")?;
    }
    stamp(&folder, &wanted)
}

/// conformance/node/node_modules exactly as package-lock.json has it; returns `node`.
fn node() -> Result<PathBuf> {
    if !available("node") || !available("npm") {
        bail!("needs `node` and `npm`");
    }
    let folder = workspace::root().join("conformance/node");
    let wanted = folder.join("package-lock.json");
    let modules = folder.join("node_modules");
    if !fresh(&modules, &wanted)? {
        println!("installing the Node clients into {}", modules.display());
        let ci = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
        run(Cmd::new("npm").args(ci).dir(&folder), "npm ci")?;
        stamp(&modules, &wanted)?;
    }
    Ok(PathBuf::from("node"))
}

/// True when `folder` was filled from exactly this list.
fn fresh(folder: &Path, list: &Path) -> Result<bool> {
    let wanted = std::fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(std::fs::read(folder.join(".pollux-stamp")).is_ok_and(|stamped| stamped == wanted))
}

fn stamp(folder: &Path, list: &Path) -> Result<()> {
    std::fs::copy(list, folder.join(".pollux-stamp")).context("cannot note what was installed")?;
    Ok(())
}

fn run(command: Cmd, name: &str) -> Result<()> {
    let (good, _, stderr) = command.output()?;
    if !good {
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        bail!("`{name}` failed: {last}");
    }
    Ok(())
}
