//! What comes in by the command line: JSON inline or from a file, and parts of addresses.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

/// Largest file read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What `encodeURIComponent` leaves alone.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A segment of a path: ids may hold anything.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// JSON from an argument: the text itself, `@file`, a file's path, or `-` for standard input. `what` names the argument.
pub(crate) fn json(what: &str, argument: &str) -> Result<Value> {
    let inline = argument.trim_start();
    if inline.starts_with(['{', '[', '"']) {
        return serde_json::from_str(inline).with_context(|| format!("{what} is not JSON"));
    }
    let path = argument.strip_prefix('@').unwrap_or(argument);
    let text = if path == "-" { standard_input(what)? } else { file(Path::new(path))? };
    parse(&text).with_context(|| format!("{what}: '{path}' is not JSON"))
}

/// Text from an argument: the text itself, `@file`, or `-` for standard input. `what` names the argument.
pub(crate) fn text(what: &str, argument: &str) -> Result<String> {
    match argument.strip_prefix('@') {
        Some(path) => file(Path::new(path)),
        None if argument == "-" => standard_input(what),
        None => Ok(argument.to_owned()),
    }
}

/// A JSON object from an argument.
pub(crate) fn object(what: &str, argument: &str) -> Result<Map<String, Value>> {
    match json(what, argument)? {
        Value::Object(fields) => Ok(fields),
        _ => bail!("{what} must be a JSON object, such as '{{\"floor\": 3}}'"),
    }
}

/// A JSON object from an argument that may be left out.
pub(crate) fn optional_object(what: &str, argument: Option<&str>) -> Result<Option<Map<String, Value>>> {
    argument.map(|argument| object(what, argument)).transpose()
}

/// Writes what was given into a document: at JSON pointers whose parents are there.
pub(crate) fn fill<V: Into<Value>>(
    document: &mut Value,
    members: impl IntoIterator<Item = (&'static str, Option<V>)>,
) {
    for (pointer, value) in members {
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        if let (Some(value), Some(parent)) = (value, document.pointer_mut(parent)) {
            parent[name] = value.into();
        }
    }
}

/// A JSON array from an argument; a single object becomes an array of one.
pub(crate) fn operations(what: &str, argument: &str) -> Result<Value> {
    match json(what, argument)? {
        Value::Object(one) => Ok(Value::Array(vec![Value::Object(one)])),
        Value::Array(all) => Ok(Value::Array(all)),
        _ => bail!("{what} must be a list of JSON Patch operations"),
    }
}

/// Parses text that may begin with a byte order mark.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
}

/// A file's text.
pub(crate) fn file(path: &Path) -> Result<String> {
    let size = fs::metadata(path).with_context(|| format!("cannot read '{}'", path.display()))?.len();
    if size > MAX_FILE {
        bail!("'{}' is larger than {MAX_FILE} bytes", path.display());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read '{}'", path.display()))
}

/// A certificate from a file: PEM as it is, DER as base64.
pub(crate) fn certificate(path: &Path) -> Result<String> {
    let shown = path.display();
    let size = fs::metadata(path).with_context(|| format!("cannot read '{shown}'"))?.len();
    if size > MAX_FILE {
        bail!("'{shown}' is larger than {MAX_FILE} bytes");
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read '{shown}'"))?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|binary| STANDARD.encode(binary.as_bytes())))
}

/// Asks on standard error and reads the answer from standard input. Nobody there to answer is an error.
pub(crate) fn confirmed(question: &str) -> Result<bool> {
    writeln!(io::stderr().lock(), "{question}")?;
    let mut answer = String::new();
    io::stdin().lock().take(1024).read_line(&mut answer).context("cannot read the answer")?;
    if answer.is_empty() && !io::stdin().is_terminal() {
        bail!("nothing was done: nobody is there to say yes; use --yes");
    }
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn standard_input(what: &str) -> Result<String> {
    let mut text = String::new();
    let input = io::stdin().lock().take(MAX_FILE).read_to_string(&mut text);
    input.with_context(|| format!("{what}: cannot read standard input"))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json as j;

    use super::*;

    #[test]
    fn what_was_given_is_written_where_it_belongs() {
        let mut document = serde_json::json!({"b": {"c": 1}, "d": 1});
        fill(&mut document, [("/a", Some(1)), ("/b/c", Some(2)), ("/b/e", None), ("/none/f", Some(3))]);
        assert_eq!(document, serde_json::json!({"a": 1, "b": {"c": 2}, "d": 1}));
    }

    #[test]
    fn json_comes_inline_or_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "\u{feff}{\"a\": 1}").unwrap();
        assert_eq!(json("--x", " {\"a\": 1}").unwrap(), j!({"a": 1}));
        assert_eq!(json("--x", path.to_str().unwrap()).unwrap(), j!({"a": 1}));
        assert_eq!(json("--x", &format!("@{}", path.display())).unwrap(), j!({"a": 1}));
        assert_eq!(operations("--x", "{\"op\": \"add\"}").unwrap(), j!([{"op": "add"}]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (argument, words) in [
            ("{", "--tags is not JSON"),
            ("[1]", "--tags must be a JSON object"),
            ("nowhere.json", "'nowhere.json'"),
        ] {
            let said = format!("{:#}", object("--tags", argument).unwrap_err());
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn segments_hold_anything() {
        assert_eq!(segment("dtmi:a:b;1"), "dtmi%3Aa%3Ab%3B1");
        assert_eq!(segment("a/../b ü"), "a%2F..%2Fb%20%C3%BC");
    }
}
