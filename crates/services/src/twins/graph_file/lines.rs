//! Bytes to blocks of lines. Bounded: a block holds so many lines and bytes, a line that is too long is not kept.

use std::collections::VecDeque;

use pollux_model::ids::shown;
use pollux_model::job::Section;
use pollux_model::{Error, ErrorCode, Result};
use serde_json::Value;

/// Lines in a block: what is written in one batch.
const BLOCK_LINES: usize = 1000;
/// Bytes in a block, one line more at most.
const BLOCK_BYTES: usize = 1024 * 1024;
/// A line that names a section is no longer.
const SECTION_BYTES: usize = 128;

/// A place between two lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::twins) struct Place {
    /// The section it is in; `None`: before the first.
    pub(in crate::twins) section: Option<Section>,
    /// Bytes before it.
    pub(in crate::twins) offset: u64,
    /// Lines before it.
    pub(in crate::twins) line: u64,
}

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::twins) struct Line {
    /// From 1.
    pub(in crate::twins) number: u64,
    /// `None`: it was too long to be kept.
    pub(in crate::twins) text: Option<Vec<u8>>,
}

/// Lines of one section.
#[derive(Debug)]
pub(in crate::twins) struct Block {
    pub(in crate::twins) section: Section,
    pub(in crate::twins) lines: Vec<Line>,
    /// Behind the last.
    pub(in crate::twins) end: Place,
}

/// Takes bytes and gives blocks.
#[derive(Debug)]
pub(in crate::twins) struct Lines {
    place: Place,
    /// Part of a file: it may begin with any section.
    fragment: bool,
    longest: usize,
    partial: Vec<u8>,
    partial_bytes: u64,
    gathered: Vec<Line>,
    gathered_bytes: usize,
    ready: VecDeque<Block>,
}

impl Lines {
    /// Of a file, from this place on; a line may have `longest` bytes.
    pub(in crate::twins) fn from(place: Place, longest: usize) -> Self {
        Self {
            place,
            fragment: place.section.is_some(),
            longest,
            partial: Vec::new(),
            partial_bytes: 0,
            gathered: Vec::new(),
            gathered_bytes: 0,
            ready: VecDeque::new(),
        }
    }

    /// Of a part of a file that names its section first; `before` lines came before it.
    pub(in crate::twins) fn fragment(before: u64, longest: usize) -> Self {
        let place = Place { line: before, ..Place::default() };
        Self { fragment: true, ..Self::from(place, longest) }
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// [`ErrorCode::ValidationFailed`]: the file is not made as it must be, and nothing behind this can be understood.
    pub(in crate::twins) fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            self.add(&rest[..at]);
            self.partial_bytes += 1;
            self.end_line()?;
            rest = &rest[at + 1..];
        }
        self.add(rest);
        Ok(())
    }

    /// Takes the end of the file.
    ///
    /// # Errors
    /// As [`Self::feed`]; a file that is empty.
    pub(in crate::twins) fn finish(&mut self) -> Result<()> {
        if self.partial_bytes > 0 {
            self.end_line()?;
        }
        self.end_block();
        if self.place.section.is_none() {
            return Err(malformed(
                self.place.line,
                "the file is empty; it must begin with {\"Section\":\"Header\"}",
            ));
        }
        Ok(())
    }

    /// The next block that is complete.
    pub(in crate::twins) fn next(&mut self) -> Option<Block> {
        self.ready.pop_front()
    }

    /// Where the lines taken end.
    pub(in crate::twins) const fn place(&self) -> Place {
        self.place
    }

    fn add(&mut self, bytes: &[u8]) {
        self.partial_bytes += bytes.len() as u64;
        let room = (self.longest + 1).saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.partial);
        let bytes = std::mem::take(&mut self.partial_bytes);
        let number = self.place.line + 1;
        let trimmed = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text).trim_ascii();
        if let Some(section) = section_of(trimmed) {
            let section = section.map_err(|name| {
                let name = shown(&name);
                malformed(
                    number,
                    &format!("there is no section '{name}'; use Header, Models, Twins, Relationships"),
                )
            })?;
            self.begin(section, number)?;
        } else if !trimmed.is_empty() {
            self.keep(number, trimmed)?;
        }
        self.place.line = number;
        self.place.offset += bytes;
        if self.gathered.len() >= BLOCK_LINES || self.gathered_bytes >= BLOCK_BYTES {
            self.end_block();
        }
        Ok(())
    }

    fn begin(&mut self, section: Section, number: u64) -> Result<()> {
        self.end_block();
        match self.place.section {
            None if section != Section::Header && !self.fragment => {
                return Err(malformed(number, "a file begins with {\"Section\":\"Header\"}"));
            }
            Some(before) if before >= section => {
                let text = format!(
                    "the section {} comes behind {}; the order is Header, Models, Twins, Relationships, each once",
                    section.as_str(),
                    before.as_str()
                );
                return Err(malformed(number, &text));
            }
            _ => self.place.section = Some(section),
        }
        Ok(())
    }

    fn keep(&mut self, number: u64, text: &[u8]) -> Result<()> {
        match self.place.section {
            None => Err(malformed(number, "a file begins with {\"Section\":\"Header\"}")),
            Some(Section::Header) => header(number, text),
            Some(_) => {
                let text = (text.len() <= self.longest).then(|| text.to_vec());
                self.gathered_bytes += text.as_ref().map_or(0, Vec::len);
                self.gathered.push(Line { number, text });
                Ok(())
            }
        }
    }

    fn end_block(&mut self) {
        let lines = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        if let Some(section) = self.place.section
            && !lines.is_empty()
        {
            self.ready.push_back(Block { section, lines, end: self.place });
        }
    }
}

/// Whether the line begins a section: an object whose only member is `Section`. A name that is none is the error.
fn section_of(text: &[u8]) -> Option<Result<Section, String>> {
    if text.len() > SECTION_BYTES || !text.windows(9).any(|part| part == b"\"Section\"") {
        return None;
    }
    let line: Value = serde_json::from_slice(text).ok()?;
    let members = line.as_object().filter(|members| members.len() == 1)?;
    let name = members.get("Section")?.as_str()?;
    Some(Section::named(name).ok_or_else(|| name.to_owned()))
}

fn header(number: u64, text: &[u8]) -> Result<()> {
    let header: Value = serde_json::from_slice(text)
        .map_err(|error| malformed(number, &format!("the header is no JSON: {error}")))?;
    match header.get("fileVersion").and_then(Value::as_str) {
        Some(version) if version.split('.').next() == Some("1") => Ok(()),
        Some(version) => {
            let version = shown(version);
            Err(malformed(number, &format!("fileVersion '{version}' is not known; write \"1.0.0\"")))
        }
        None => Err(malformed(number, "the header must have a fileVersion: \"1.0.0\"")),
    }
}

fn malformed(line: u64, what: &str) -> Error {
    Error::new(ErrorCode::ValidationFailed, format!("Line {line}: {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "{\"Section\": \"Header\"}\n{\"fileVersion\":\"1.0.0\",\"author\":\"a\"}\n";

    fn blocks(text: &str, portion: usize) -> Result<(Vec<Block>, Place)> {
        let mut lines = Lines::from(Place::default(), 100);
        for part in text.as_bytes().chunks(portion) {
            lines.feed(part)?;
        }
        lines.finish()?;
        let place = lines.place();
        Ok((std::iter::from_fn(|| lines.next()).collect(), place))
    }

    #[test]
    fn sections_are_told_apart_however_the_bytes_come() {
        let text = format!(
            "\u{feff}{HEAD}{{\"Section\":\"Twins\"}}\r\n{{\"a\":1}}\r\n\n{{\"b\":2}}\n {{ \"Section\" : \"Relationships\" }}\n[3]"
        );
        for portion in [1, 7, 10_000] {
            let (blocks, end) = blocks(&text, portion).unwrap();
            let seen: Vec<_> = blocks
                .iter()
                .flat_map(|block| {
                    block.lines.iter().map(|line| (block.section, line.number, line.text.clone().unwrap()))
                })
                .collect();
            let wanted = [
                (Section::Twins, 4, b"{\"a\":1}".to_vec()),
                (Section::Twins, 6, b"{\"b\":2}".to_vec()),
                (Section::Relationships, 8, b"[3]".to_vec()),
            ];
            assert_eq!(seen, wanted);
            assert_eq!((end.offset, end.line), (text.len() as u64, 8));
        }
    }

    #[test]
    fn it_goes_on_from_every_place_where_a_block_ends() {
        let items: String = (0..2500).map(|n| format!("{{\"n\":{n}}}\n")).collect();
        let text = format!("{HEAD}{{\"Section\":\"Models\"}}\n{{}}\n{{\"Section\":\"Twins\"}}\n{items}");
        let (all, _) = blocks(&text, 4096).unwrap();
        assert_eq!(all.iter().map(|block| block.lines.len()).collect::<Vec<_>>(), [1, 1000, 1000, 500]);
        for (at, block) in all.iter().enumerate() {
            let mut lines = Lines::from(block.end, 100);
            lines.feed(&text.as_bytes()[usize::try_from(block.end.offset).unwrap()..]).unwrap();
            lines.finish().unwrap();
            let rest: Vec<Block> = std::iter::from_fn(|| lines.next()).collect();
            let next = |blocks: &[Block]| {
                blocks.iter().flat_map(|block| block.lines.iter().map(|line| line.number)).next()
            };
            assert_eq!(next(&rest), next(&all[at + 1..]));
            assert_eq!(rest.last().map(|block| block.end), all[at + 1..].last().map(|block| block.end));
        }
    }

    #[test]
    fn files_that_are_not_made_as_they_must_be() {
        for (text, what) in [
            ("", "empty"),
            ("{\"$dtId\":\"a\"}", "begins with"),
            ("{\"Section\":\"Twins\"}\n", "begins with"),
            ("{\"Section\":\"Header\"}\n{\"fileVersion\":\"2.0.0\"}\n", "not known"),
            ("{\"Section\":\"Header\"}\n{}\n", "fileVersion"),
            ("{\"Section\":\"Header\"}\nnonsense\n", "no JSON"),
            (&format!("{HEAD}{{\"Section\":\"Twins\"}}\n{{\"Section\":\"Models\"}}\n"), "comes behind"),
            (&format!("{HEAD}{{\"Section\":\"Twins\"}}\n{{\"Section\":\"Twins\"}}\n"), "each once"),
            (&format!("{HEAD}{{\"Section\":\"Other\"}}\n"), "no section 'Other'"),
        ] {
            let error = blocks(text, 1000).unwrap_err();
            assert!(error.message.contains(what), "{text}: {}", error.message);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_the_next_is() {
        let text = format!("{HEAD}{{\"Section\":\"Twins\"}}\n{}\n{{}}\n", "x".repeat(10_000));
        let (blocks, end) = blocks(&text, 50).unwrap();
        assert_eq!(blocks[0].lines[0], Line { number: 4, text: None });
        assert_eq!(blocks[0].lines[1], Line { number: 5, text: Some(b"{}".to_vec()) });
        assert_eq!(end.offset, text.len() as u64);
    }
}
