//! Running other programs from the root of the checkout.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

/// A program to run in the root of the checkout.
#[derive(Debug)]
pub(crate) struct Cmd {
    inner: Command,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut inner = Command::new(program);
        inner.current_dir(crate::workspace::root()).stdin(Stdio::null());
        Self { inner }
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(args);
        self
    }

    pub(crate) fn dir(mut self, folder: impl AsRef<std::path::Path>) -> Self {
        self.inner.current_dir(folder);
        self
    }

    /// Runs it on this terminal; true when it ended with exit code 0.
    pub(crate) fn status(mut self) -> Result<bool> {
        let status =
            self.inner.status().with_context(|| format!("cannot start {:?}", self.inner.get_program()))?;
        Ok(status.success())
    }

    /// Runs it and returns what it wrote to stdout and stderr, and whether it ended with exit code 0.
    pub(crate) fn output(mut self) -> Result<(bool, String, String)> {
        let output =
            self.inner.output().with_context(|| format!("cannot start {:?}", self.inner.get_program()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }

    /// Runs it with stderr shown on this terminal and collected as well (for tools that print a summary there).
    pub(crate) fn tee_stderr(mut self) -> Result<(bool, String)> {
        let mut child = self.spawn(|inner| inner.stderr(Stdio::piped()))?;
        let seen = tee(child.stderr.take(), |line| eprintln!("{line}"))?;
        Ok((child.wait()?.success(), seen))
    }

    /// The same for stdout.
    pub(crate) fn tee_stdout(mut self) -> Result<(bool, String)> {
        let mut child = self.spawn(|inner| inner.stdout(Stdio::piped()))?;
        let seen = tee(child.stdout.take(), |line| println!("{line}"))?;
        Ok((child.wait()?.success(), seen))
    }

    fn spawn(&mut self, pipe: fn(&mut Command) -> &mut Command) -> Result<Child> {
        pipe(&mut self.inner).spawn().with_context(|| format!("cannot start {:?}", self.inner.get_program()))
    }
}

/// Shows each line as it comes, and returns them all.
fn tee(output: Option<impl Read>, show: fn(&str)) -> Result<String> {
    let mut seen = String::new();
    for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()) {
        let line = line?;
        show(&line);
        seen.push_str(&line);
        seen.push('\n');
    }
    Ok(seen)
}

/// True when `program` can be started at all (asked with `--version`).
pub(crate) fn available(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
