//! `pollux twin model validate`: models checked without a server, as files or as sets in lines of JSON.

use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use pollux_dtdl::{Diagnostic, Limits, UndefinedExtensions, Verdict, validate_line, validate_texts};
use serde_json::{Value, json};

use super::model_files;
use crate::cli::Global;
use crate::input;
use crate::output::Output;

/// Longest line of `--ndjson`, in bytes.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// Check models without a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  pollux twin model validate Thermostat.json
  pollux twin model validate ./ontology --json            every .json in it and below, as one set
  pollux twin model validate ./ontology --max-version 3   what Azure Digital Twins would take
  echo '{\"id\": 1, \"input\": [{\"@context\": \"dtmi:dtdl:context;3\", \"@id\": \"dtmi:a;1\", \"@type\": \"Interface\"}]}' |
    pollux twin model validate --ndjson

With --ndjson each line is a set of its own: {\"id\", \"input\": [models], \"options\": [\"AllowUndefinedExtensions\" |
\"DisallowUndefinedExtensions\"], \"maxDtdlVersion\", \"acceptableLimits\", \"resolution\": [models to take from]}; only
\"input\" is needed. Each is answered by a line {\"id\", \"valid\", \"errors\"}, in order, as soon as it is read.

Exit codes: 0 all models are valid (with --ndjson: every line was answered), 1 not all are.")]
pub(crate) struct Validate {
    /// Files and folders with models, which are checked as one set
    #[arg(required_unless_present = "ndjson", conflicts_with = "ndjson")]
    from: Vec<PathBuf>,
    /// Read sets from standard input, one in each line
    #[arg(long)]
    ndjson: bool,
    /// The highest version of DTDL that is accepted
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=4))]
    max_version: u8,
    /// Accept contexts that are not known, in every version of DTDL
    #[arg(long)]
    allow_undefined_extensions: bool,
    /// Accept this limit extension, such as dtmi:dtdl:limits:onvif; may be repeated
    #[arg(long, value_name = "DTMI")]
    limit_extension: Vec<String>,
}

/// Runs the command.
pub(super) fn run(global: &Global, args: &Validate) -> Result<()> {
    let mut limits = Limits::language();
    limits.max_version = args.max_version;
    limits.limit_extensions.clone_from(&args.limit_extension);
    if args.allow_undefined_extensions {
        limits.undefined_extensions = UndefinedExtensions::Always;
    }
    if args.ndjson {
        return lines(io::stdin().lock(), io::stdout().lock(), &limits);
    }
    files(&args.from, global, &limits)
}

fn files(from: &[PathBuf], global: &Global, limits: &Limits) -> Result<()> {
    let mut paths = Vec::new();
    for from in from {
        paths.extend(model_files::paths(from)?);
    }
    let texts = paths.iter().map(|path| input::file(path)).collect::<Result<Vec<String>>>()?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let errors = validate_texts(&texts, limits);
    let output = Output::new(global.json);
    if global.json {
        let shown: Vec<Value> = errors.iter().map(|(index, error)| row(&paths[*index], error)).collect();
        output.document(&json!({"valid": errors.is_empty(), "files": paths.len(), "errors": shown}))?;
    } else {
        for (index, error) in &errors {
            output.line(&line(&paths[*index], error))?;
        }
    }
    if !errors.is_empty() {
        bail!("the models are not valid: {} errors in {} files read", errors.len(), paths.len());
    }
    output.note(&format!("the models are valid: {} files read", paths.len()))
}

fn row(path: &std::path::Path, error: &Diagnostic) -> Value {
    let mut row = error.to_json();
    row["file"] = path.display().to_string().into();
    row
}

/// `file:line:column: model path: what is wrong`, as compilers say it.
fn line(path: &std::path::Path, error: &Diagnostic) -> String {
    let number = |number: Option<u32>| number.map(|n| format!(":{n}")).unwrap_or_default();
    let model = error.model.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
    let (line, column) = (number(error.line), number(error.column));
    format!("{}{line}{column}: {model}{}: {}", path.display(), error.path, error.message)
}

/// Answers each line that is not blank. What was read is answered before more is waited for.
fn lines(input: impl io::Read, output: impl Write, limits: &Limits) -> Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut output = io::BufWriter::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = input
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .context("cannot read standard input")?;
        if read == 0 {
            break;
        }
        if line.trim_ascii().is_empty() && line.ends_with(b"\n") {
            continue;
        }
        let verdict = if read as u64 == MAX_LINE && !line.ends_with(b"\n") {
            input.skip_until(b'\n').context("cannot read standard input")?;
            refusal(format!("the line is longer than {MAX_LINE} bytes"))
        } else {
            match std::str::from_utf8(&line) {
                Ok(text) => validate_line(text, limits),
                Err(error) => refusal(format!("the line is not UTF-8: {error}")),
            }
        };
        writeln!(output, "{}", verdict.to_json())?;
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    Ok(output.flush()?)
}

fn refusal(message: String) -> Verdict {
    Verdict { id: Value::Null, errors: vec![Diagnostic::general("$", message)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8]) -> Vec<Value> {
        let mut output = Vec::new();
        lines(input, &mut output, &Limits::language()).unwrap();
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_line_has_its_answer_in_order() {
        let model = r#"{"@context": "dtmi:dtdl:context;3", "@id": "dtmi:a;1", "@type": "Interface"}"#;
        let input = format!(
            "{{\"id\": 1, \"input\": [{model}]}}\n\n{{\"id\": \"b\", \"input\": [7]}}\nno\n{{\"id\": 4, \"input\": []}}"
        );
        let answers = answers(input.as_bytes());
        let short: Vec<_> = answers.iter().map(|a| (a["id"].clone(), a["valid"].clone())).collect();
        assert_eq!(
            short,
            [
                (json!(1), json!(true)),
                (json!("b"), json!(false)),
                (json!(null), json!(false)),
                (json!(4), json!(true))
            ]
        );
        assert_eq!(answers[1]["errors"][0]["path"], "$.input[0]");
        assert_eq!(answers[1]["errors"][0]["column"], 23);
    }

    #[test]
    fn a_line_that_is_no_text_does_not_end_the_rest() {
        let answers = answers(b"\xff\xfe\n{\"input\": []}\n");
        assert_eq!(
            (answers.len(), &answers[0]["valid"], &answers[1]["valid"]),
            (2, &json!(false), &json!(true))
        );
    }

    #[test]
    fn an_error_is_said_as_compilers_say_it() {
        let errors = validate_texts(&["{\n \"@id\": \"dtmi:a;1\"}"], &Limits::language());
        let said = line(std::path::Path::new("a.json"), &errors[0].1);
        assert!(said.starts_with("a.json:1:1: $: '@context' is missing"), "{said}");
    }
}
