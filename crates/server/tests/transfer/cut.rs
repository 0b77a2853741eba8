//! Transfers that are cut off, and run again.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use pollux_server::transfer::{Import, Progress, Unit, import};
use pollux_testkit::{Nats, Postgres};

use crate::world::{Place, contents, events, laptop};

/// Says each step that is done, so that it can be killed between any two.
struct Aloud;

impl Progress for Aloud {
    fn begin(&self, step: &str, _: Unit, _: u64) {
        self.say(&format!("at {step}"));
    }
    fn advance(&self, _: u64) {
        self.say("at more");
    }
    fn end(&self) {}
    fn say(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).unwrap();
    }
}

/// Not a test by itself: the process that is killed.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "what the process is to do comes from its parent")]
async fn child() {
    let Ok(words) = std::env::var("POLLUX_TEST_IMPORT") else { return };
    let words: Vec<&str> = words.split('|').collect();
    let [data, from, state, events] = words[..] else { panic!("{words:?}") };
    let some = |word: &str| (!word.is_empty()).then(|| pollux_model::resource::Setting(word.to_owned()));
    let mut config = pollux_server::Config::default();
    config.server.data_dir = PathBuf::from(data);
    config.state.url = some(state);
    config.events.url = some(events);
    let what = Import { from: PathBuf::from(from), events: true };
    import(&config, &what, &Aloud).await.unwrap();
    Aloud.say("at the end");
}

/// Runs an import in a process and kills it after so many words; `false` where it came to its end.
fn import_and_kill(to: &Place, from: &std::path::Path, after: usize) -> bool {
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (data, from) = (to.data(""), from.display());
    let words = format!("{}|{from}|{}|{}", data.display(), word(&to.state), word(&to.events));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "cut::child", "--nocapture"]).env("POLLUX_TEST_IMPORT", words);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut ended = false;
    // The first word comes behind what the test's runner says on the same line.
    for (said, line) in lines.filter(|line| line.contains("at ")).enumerate() {
        ended |= line.contains("at the end");
        if said == after {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    !ended
}

async fn killed_again_and_again(to: Place, step: usize) {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let (export, again) = (out.path().join("export"), out.path().join("again"));
    from.export(&export, true).await.unwrap();
    let mut kills = 0;
    // Each run comes a little further; words of the check of the files come first.
    for after in (step..400).step_by(step) {
        if !import_and_kill(&to, &export, after) {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 2, "it was killed {kills} times");
    if !to.store().await.secrets("transfer").await.unwrap().is_empty() {
        to.import(&export, true).await.unwrap();
    }
    assert_eq!(events(&to).await, events(&from).await);
    to.export(&again, true).await.unwrap();
    assert_eq!(contents(&again), contents(&export));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_goes_on() {
    killed_again_and_again(Place::files(), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_into_servers_that_is_killed_goes_on() {
    let (Some(postgres), Some(nats)) = (Postgres::start(), Nats::start().await) else { return };
    // Each waits until the lease of the one before has run out.
    killed_again_and_again(Place::on(Some(&postgres.create_database("cut")), Some(&nats.url())), 24).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_with_the_same_export_only() {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let (export, other, to) = (out.path().join("export"), out.path().join("other"), Place::files());
    from.export(&export, true).await.unwrap();
    from.export(&other, true).await.unwrap();
    // Until it was killed behind its first commit.
    for after in 30.. {
        assert!(import_and_kill(&to, &export, after), "it must be cut off");
        let begun =
            to.data("state.db").exists() && !to.store().await.secrets("transfer").await.unwrap().is_empty();
        if begun {
            break;
        }
    }
    let error = to.import(&other, true).await.unwrap_err().to_string();
    assert!(error.contains("another export was cut off"), "{error}");
    let error = to.import(&export, false).await.unwrap_err().to_string();
    assert!(error.contains("begun with --events"), "{error}");
    let error = to.export(&out.path().join("third"), true).await.unwrap_err().to_string();
    assert!(error.contains("part of it is missing"), "{error}");
    let error = pollux_server::start(to.config()).await.unwrap_err().to_string();
    assert!(error.contains("part of it is missing"), "{error}");
    to.import(&export, true).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_was_cut_off_is_not_imported_and_goes_on() {
    let (from, out) = (laptop().await, tempfile::tempdir().unwrap());
    let (whole, cut) = (out.path().join("whole"), out.path().join("cut"));
    from.export(&whole, true).await.unwrap();
    from.export(&cut, true).await.unwrap();
    fs::remove_file(cut.join("manifest.json")).unwrap();
    fs::write(cut.join("progress.json"), "{}").unwrap();
    fs::write(cut.join("devices.ndjson"), "half a li").unwrap();
    let events = cut.join("events/events-one/deviceevents");
    let part = fs::read(events.join("00000.ndjson")).unwrap();
    // Cut within a line; of another log; not there.
    fs::write(events.join("00000.ndjson"), &part[..part.len() / 2]).unwrap();
    fs::copy(events.join("00000.ndjson"), events.join("00001.ndjson")).unwrap();
    fs::remove_file(events.join("00003.ndjson")).unwrap();
    let error = Place::files().import(&cut, true).await.unwrap_err().to_string();
    assert!(error.contains("is not finished"), "{error}");
    from.export(&cut, true).await.unwrap();
    assert_eq!(contents(&cut), contents(&whole));
}
