//! Graph files as the command line reads them: portions of whole lines, each of one section.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use pollux_model::job::Section;
use serde_json::Value;
use tokio::sync::mpsc;

/// Lines in a portion.
const LINES: u64 = 2000;
/// Bytes in a portion, one line more at most. The models of a file go in one portion, whatever they have.
const BYTES: usize = 2 * 1024 * 1024;
/// The most of one line, and of the models of a file: what the server takes.
const MOST: usize = 64 * 1024 * 1024;
/// Portions read ahead.
const AHEAD: usize = 2;

/// Lines of one section, behind a line that names it.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) file: String,
    pub(super) section: Section,
    pub(super) text: Bytes,
    /// Lines of the file before the first of these.
    pub(super) before: u64,
    /// The last of these.
    pub(super) last: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// Reads files, `-` for standard input, from a line on, on a thread of its own.
pub(super) fn read(files: Vec<String>, from: u64) -> mpsc::Receiver<Result<Portion>> {
    let (portions, reader) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        for file in files {
            let read = open(&file).and_then(|input| Reading::new(&file, from).run(input, &portions));
            if let Err(error) = read {
                // Whoever does not read any more need not be told.
                let _ = portions.blocking_send(Err(error.context(format!("'{file}'"))));
                return;
            }
        }
    });
    reader
}

fn open(file: &str) -> Result<Box<dyn Read>> {
    if file == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(file).context("cannot be opened")?))
}

struct Reading<'a> {
    file: &'a str,
    from: u64,
    section: Option<Section>,
    text: Vec<u8>,
    lines: u64,
    before: u64,
    last: u64,
    bytes: u64,
}

impl<'a> Reading<'a> {
    const fn new(file: &'a str, from: u64) -> Self {
        Self { file, from, section: None, text: Vec::new(), lines: 0, before: 0, last: 0, bytes: 0 }
    }

    fn run(mut self, input: Box<dyn Read>, portions: &mpsc::Sender<Result<Portion>>) -> Result<()> {
        let mut input = BufReader::with_capacity(1 << 20, input);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read =
                (&mut input).take(MOST as u64 + 1).read_until(b'\n', &mut line).context("cannot be read")?;
            if read == 0 {
                break;
            }
            if read > MOST {
                bail!("line {} is longer than {MOST} bytes", self.last + 1);
            }
            let number = self.last + 1;
            if let Some(section) = section_of(&line) {
                self.flush(portions);
                self.section = Some(section);
            } else if number >= self.from || self.section == Some(Section::Header) {
                self.keep(&line, number)?;
            }
            self.last = number;
            self.bytes += read as u64;
            let full = self.lines >= LINES || self.text.len() >= BYTES;
            if full && self.section != Some(Section::Models) {
                self.flush(portions);
            }
            if portions.is_closed() {
                return Ok(());
            }
        }
        self.flush(portions);
        if self.section.is_none() {
            bail!("is empty; a graph file begins with {{\"Section\":\"Header\"}}")
        }
        Ok(())
    }

    fn keep(&mut self, line: &[u8], number: u64) -> Result<()> {
        let Some(section) = self.section else {
            bail!("line {number}: a graph file begins with {{\"Section\":\"Header\"}}");
        };
        if self.text.is_empty() {
            let head = format!("{{\"Section\":\"{}\"}}\n", section.as_str());
            self.text.extend_from_slice(head.as_bytes());
            self.before = number - 1;
        }
        self.text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        self.lines += 1;
        if self.text.len() > MOST {
            bail!(
                "its models have more than {MOST} bytes in all: import them in several files, in dependency order"
            );
        }
        Ok(())
    }

    fn flush(&mut self, portions: &mpsc::Sender<Result<Portion>>) {
        let text = Bytes::from(std::mem::take(&mut self.text));
        self.lines = 0;
        if let Some(section) = self.section
            && !text.is_empty()
        {
            let bytes = std::mem::take(&mut self.bytes);
            let (file, before, last) = (self.file.to_owned(), self.before, self.last);
            let _ = portions.blocking_send(Ok(Portion { file, section, text, before, last, bytes }));
        }
    }
}

/// The section a line begins.
pub(super) fn section_of(line: &[u8]) -> Option<Section> {
    let text = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii();
    if text.len() > 128 || !text.windows(9).any(|part| part == b"\"Section\"") {
        return None;
    }
    let line: Value = serde_json::from_slice(text).ok()?;
    let members = line.as_object().filter(|members| members.len() == 1)?;
    Section::named(members.get("Section")?.as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn portions(text: &str, from: u64) -> Vec<(Section, u64, u64, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("graph.ndjson");
        std::fs::write(&path, text).unwrap();
        let mut reader = read(vec![path.to_string_lossy().into_owned()], from);
        let mut all = Vec::new();
        while let Some(portion) = reader.recv().await {
            let Portion { section, before, last, text, .. } = portion.unwrap();
            all.push((section, before, last, String::from_utf8_lossy(&text).into_owned()));
        }
        all
    }

    #[tokio::test]
    async fn portions_are_of_one_section_and_know_their_lines() {
        let twins: String = (0..2500).map(|n| format!("{{\"$dtId\":\"t{n}\"}}\n")).collect();
        let text = format!(
            "{{\"Section\":\"Header\"}}\n{{\"fileVersion\":\"1.0.0\"}}\n{{\"Section\":\"Twins\"}}\n{twins}"
        );
        let all = portions(&text, 0).await;
        let places: Vec<_> =
            all.iter().map(|(section, before, last, _)| (*section, *before, *last)).collect();
        let wanted = [(Section::Header, 1, 2), (Section::Twins, 3, 2003), (Section::Twins, 2003, 2503)];
        assert_eq!(places, wanted);
        assert!(all.iter().all(|(section, _, _, text)| {
            text.starts_with(&format!("{{\"Section\":\"{}\"}}\n", section.as_str()))
        }));
        let rest = portions(&text, 2400).await;
        assert_eq!(rest[1].1, 2399, "lines before are not sent");
        assert_eq!(rest[1].3.lines().count(), 1 + 2503 - 2399);
    }
}
