//! A file in lines, as its parts come.

/// Bytes of a line at most: an identity with its twin takes less than a tenth.
const LONGEST: usize = 1024 * 1024;

/// A line, and where the next one begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Without its end. `None`: it is longer than any may be.
    pub(super) text: Option<Vec<u8>>,
    /// Bytes of the file up to its end.
    pub(super) end: u64,
}

/// What came of a file, as far as it makes no line yet.
#[derive(Debug)]
pub(super) struct Lines {
    pending: Vec<u8>,
    /// The line is longer than any may be, and its bytes are thrown away.
    skipping: bool,
    /// Bytes of the file that were taken.
    offset: u64,
}

impl Lines {
    /// From a byte on that begins a line.
    pub(super) const fn from(offset: u64) -> Self {
        Self { pending: Vec::new(), skipping: false, offset }
    }

    /// Takes bytes, and gives the lines that end in them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.offset += part.len() as u64;
            if !self.skipping {
                self.pending.extend_from_slice(part);
                if self.pending.len() > LONGEST {
                    (self.skipping, self.pending) = (true, Vec::new());
                }
            }
            if part.ends_with(b"\n") {
                lines.push(self.line());
            }
        }
        lines
    }

    /// The last line, where the file does not end with a line's end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        (self.skipping || !self.pending.is_empty()).then(|| self.line())
    }

    fn line(&mut self) -> Line {
        let text = std::mem::take(&mut self.pending);
        let skipped = std::mem::take(&mut self.skipping);
        let text = (!skipped).then(|| text.trim_ascii().to_vec());
        Line { text, end: self.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_their_bytes_come() {
        let text = "{\"a\":1}\r\n\n{\"b\":2}\n{\"c\":3}".as_bytes();
        let wanted: Vec<(&str, u64)> = vec![("{\"a\":1}", 9), ("", 10), ("{\"b\":2}", 18), ("{\"c\":3}", 25)];
        for size in 1..=text.len() {
            let mut lines = Lines::from(0);
            let mut all: Vec<Line> = text.chunks(size).flat_map(|part| lines.feed(part)).collect();
            all.extend(lines.finish());
            let all: Vec<_> = all.iter().map(|line| (line.text.as_deref().unwrap(), line.end)).collect();
            let wanted: Vec<_> = wanted.iter().map(|(text, end)| (text.as_bytes(), *end)).collect();
            assert_eq!(all, wanted, "{size}");
        }
    }

    #[test]
    fn what_is_too_long_is_told_and_takes_no_room() {
        let mut lines = Lines::from(10);
        let mut all = lines.feed(&vec![b'x'; LONGEST]);
        all.extend(lines.feed(&vec![b'x'; LONGEST]));
        assert!(all.is_empty() && lines.pending.is_empty());
        let next = lines.feed(b"x\n{}\n");
        assert_eq!((next[0].text.as_deref(), next[1].text.as_deref()), (None, Some(b"{}".as_slice())));
        assert_eq!(next[1].end, 10 + 2 * LONGEST as u64 + 5);
    }
}
