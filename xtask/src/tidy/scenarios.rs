//! Each conformance script says what it shows in its head, so that the runner finds it by itself; each case that is known to fail
//! (conformance/known.toml) belongs to a scenario that exists.

use super::{Finding, Tree};
use crate::conformance::scenario::{Known, Scenario};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for file in tree.files.iter().filter(|file| Scenario::is_script(&file.path)) {
        match Scenario::parse(&file.path, &file.text) {
            Ok(scenario) => names.push(scenario.name),
            Err(error) => findings.push(Finding::new(&file.path, 1, format!("{error:#}"))),
        }
    }
    match Known::parse(tree.file(Known::PATH).map_or("", |file| &file.text)) {
        Ok(known) => {
            let stray = known.cases.iter().filter(|case| !names.contains(&case.scenario));
            findings.extend(stray.map(|case| {
                Finding::new(
                    Known::PATH,
                    0,
                    format!("there is no scenario `{}`: drop the entry", case.scenario),
                )
            }));
        }
        Err(error) => findings.push(Finding::new(Known::PATH, 0, format!("{error:#}"))),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Tree, check};

    #[test]
    fn a_script_without_a_head_and_a_stray_entry_are_found() {
        let tree = Tree::of(&[
            ("conformance/node/a.js", "// about: shows a\n"),
            ("conformance/node/b.js", "'use strict';\n"),
            ("conformance/node/lib/c.js", ""),
            ("conformance/known.toml", "[[case]]\nscenario = \"gone\"\nname = \"x\"\nreason = \"y\"\n"),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["conformance/node/b.js", "conformance/known.toml"]);
    }
}
