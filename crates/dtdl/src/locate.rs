//! Where in a JSON text the paths of diagnostics are: one pass over the text, which descends only where some path leads.

use serde_json::Value;

use crate::error::Diagnostic;

/// Sets line and column of each diagnostic whose path starts at `$`, the root of `text`: those of the key for a member
/// of an object, those of the value for an item of an array. Where the path leads to something that is not there (a
/// property that is missing), those of what it should be in.
///
/// The text must be JSON; of another text the positions mean nothing.
pub(crate) fn locate(text: &str, diagnostics: &mut [Diagnostic]) {
    let text = text.trim_start_matches('\u{feff}');
    let mut order: Vec<usize> = (0..diagnostics.len()).collect();
    order.sort_by(|a, b| diagnostics[*a].path.cmp(&diagnostics[*b].path));
    let wanted: Vec<&str> = order.iter().map(|at| diagnostics[*at].path.as_str()).collect();
    let mut scanner =
        Scanner { bytes: text.as_bytes(), at: 0, found: vec![None; wanted.len()], wanted: &wanted };
    scanner.blanks();
    scanner.visit("$", scanner.at);
    let mut found: Vec<(usize, usize)> =
        scanner.found.iter().zip(order).filter_map(|(f, at)| Some(((*f)?, at))).collect();
    found.sort_unstable();
    let mut position = Position { line: 1, column: 1, at: 0 };
    for (offset, at) in found {
        position.advance(text, offset);
        diagnostics[at].line = Some(position.line);
        diagnostics[at].column = Some(position.column);
    }
}

/// A member of the object that a text begins with, where its value is a string or number; found without reading the rest,
/// so that a text that is too deep, or broken after it, can still be told apart from others.
pub(crate) fn member(text: &str, name: &str) -> Option<Value> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, found: Vec::new(), wanted: &[] };
    scanner.blanks();
    if scanner.bytes.get(scanner.at) != Some(&b'{') {
        return None;
    }
    scanner.at += 1;
    while let Some((_, key)) = scanner.key() {
        let start = scanner.at;
        scanner.skip();
        if key == name {
            let value: Value = serde_json::from_str(text.get(start..scanner.at)?).ok()?;
            return (value.is_string() || value.is_number()).then_some(value);
        }
    }
    None
}

struct Position {
    line: u32,
    column: u32,
    at: usize,
}

impl Position {
    fn advance(&mut self, text: &str, offset: usize) {
        for c in text.get(self.at..offset).unwrap_or_default().chars() {
            if c == '\n' {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            } else {
                self.column = self.column.saturating_add(1);
            }
        }
        self.at = offset;
    }
}

struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
    /// Sorted.
    wanted: &'t [&'t str],
    /// For each wanted path, the offset of the deepest place on the way to it.
    found: Vec<Option<usize>>,
}

impl Scanner<'_> {
    /// Notes a place, and reads its value: into it where a wanted path goes on, over it otherwise.
    /// Recursion is bounded by the length of the wanted paths.
    fn visit(&mut self, path: &str, position: usize) {
        let mut goes_on = false;
        for at in self.leading(path) {
            self.found[at] = Some(position);
            goes_on |= self.wanted[at].len() > path.len();
        }
        match self.bytes.get(self.at) {
            Some(b'{') if goes_on => self.object(path),
            Some(b'[') if goes_on => self.array(path),
            _ => self.skip(),
        }
    }

    /// The wanted paths that are this one or lead through it.
    fn leading(&self, path: &str) -> Vec<usize> {
        let start = self.wanted.partition_point(|wanted| *wanted < path);
        let rest = self.wanted[start..].iter().enumerate().take_while(|(_, wanted)| wanted.starts_with(path));
        let leads = |wanted: &str| matches!(wanted.as_bytes().get(path.len()), None | Some(b'.' | b'['));
        rest.filter(|(_, wanted)| leads(wanted)).map(|(offset, _)| start + offset).collect()
    }

    fn object(&mut self, path: &str) {
        self.at += 1;
        while let Some((position, key)) = self.key() {
            self.visit(&format!("{path}.{key}"), position);
        }
        self.at += 1;
    }

    /// The next key of an object, with its offset; stands at the value then.
    fn key(&mut self) -> Option<(usize, String)> {
        self.blanks();
        while self.bytes.get(self.at) == Some(&b',') {
            self.at += 1;
            self.blanks();
        }
        let position = self.at;
        if self.bytes.get(position) != Some(&b'"') {
            return None;
        }
        self.string();
        let key = self.bytes.get(position..self.at).unwrap_or_default();
        let key = serde_json::from_slice(key).unwrap_or_default();
        self.blanks();
        if self.bytes.get(self.at) == Some(&b':') {
            self.at += 1;
        }
        self.blanks();
        Some((position, key))
    }

    fn array(&mut self, path: &str) {
        self.at += 1;
        let mut index = 0_usize;
        loop {
            self.blanks();
            match self.bytes.get(self.at) {
                None | Some(b']') => break,
                Some(b',') => self.at += 1,
                Some(_) => {
                    self.visit(&format!("{path}[{index}]"), self.at);
                    index += 1;
                }
            }
        }
        self.at += 1;
    }

    /// Goes over one value; without recursion.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return;
                    }
                }
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}
