//! Where the checkout is, and the programs in it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the checkout: the folder above this package's manifest, as cargo saw it when it built xtask.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace root").to_path_buf()
}

/// Reads one variable of the environment; `None` when it is unset or not text.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask has no config file: CI and SHARED_DIR are its whole environment"
)]
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// True where a skipped check counts as a failure (`CI=true`, as every CI service sets it).
pub(crate) fn in_ci() -> bool {
    env("CI").is_some_and(|value| value == "true" || value == "1")
}

/// Where this program lies. The first call, in `main`, decides: cargo may put a newer build of xtask at that place while a step runs, and
/// Linux then names what is running `… (deleted)`, which nothing can start.
pub(crate) fn this_program() -> Result<&'static Path> {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    if let Some(path) = PATH.get() {
        return Ok(path);
    }
    let path = std::env::current_exe().context("where this program lies")?;
    Ok(PATH.get_or_init(|| path))
}

/// Monotonic time, for the durations that are printed.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask measures how long its steps take, nothing depends on it"
)]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// The `target` folder, honouring `CARGO_TARGET_DIR`.
pub(crate) fn target() -> PathBuf {
    env("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The profile (`Cargo.toml`) of all that is tested, and of this program.
pub(crate) const PROFILE: &str = "checked";

/// Builds what these arguments of `cargo build` choose and returns the path of `pollux`.
pub(crate) fn build(what: &[&str]) -> Result<PathBuf> {
    let build = [["build", "--profile", PROFILE].as_slice(), what].concat();
    if !crate::run::Cmd::new("cargo").args(&build).status()? {
        bail!("`cargo {}` failed: there is no binary to test", build.join(" "));
    }
    binary("pollux")
}

/// Builds the programs that are tested together with the tests, which `cargo xtask test` has just built, and returns the path of
/// `pollux`. Asked for without the tests cargo would compile half of it again: their dependencies switch on features of shared ones.
pub(crate) fn tested_binary() -> Result<PathBuf> {
    build(&["--workspace", "--bin", "pollux", "--bin", "pollux-faults", "--tests"])
}

/// The path of a program that was built with [`PROFILE`].
pub(crate) fn binary(name: &str) -> Result<PathBuf> {
    let path = target().join(PROFILE).join(name);
    path.canonicalize().with_context(|| format!("the build left no {}", path.display()))
}

/// Data that other people wrote (models, cases): `$SHARED_DIR`, else `../shared` beside the checkout, if it is there.
pub(crate) fn shared() -> Option<PathBuf> {
    let folder = env("SHARED_DIR").map_or_else(|| root().join("../shared"), PathBuf::from);
    folder.canonicalize().ok()
}
