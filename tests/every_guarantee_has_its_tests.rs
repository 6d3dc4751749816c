//! `docs/guarantees.md` names the tests of each guarantee: they are there, and `make test` runs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The heading of what is said about the tests themselves.
const REMARKS: &str = "What the tests show in part";

/// One guarantee of the page.
#[derive(Debug, Default)]
struct Guarantee {
    heading: String,
    /// Where a test is, `behaviour` or a crate, and its name as the test program prints it.
    tests: Vec<(String, String)>,
}

#[test]
fn that_exist_and_are_run() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page is there");
    let guarantees = guarantees_of(&page);
    assert!(guarantees.len() > 50, "{}", guarantees.len());
    let (all, left_out) = (listed(&["--list"]), listed(&["--list", "--ignored"]));
    let mut faults = Vec::new();
    for Guarantee { heading, tests } in &guarantees {
        if tests.is_empty() {
            faults.push(format!("{heading}: no test"));
        }
        for (place, name) in tests {
            let found = match place.as_str() {
                "behaviour" if left_out.contains(name) => Err("it is ignored".to_owned()),
                "behaviour" if all.contains(name) => Ok(()),
                "behaviour" => Err("there is no such test".to_owned()),
                of_crate => find_in_source(&root.join(of_crate), name),
            };
            if let Err(reason) = found {
                faults.push(format!("{heading}: {place}: {name}: {reason}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What this very test would not notice would be worth nothing.
#[test]
fn and_none_is_made_up() {
    let pki = Path::new(env!("CARGO_MANIFEST_DIR")).join("pki");
    let real = "identify::tests::chains::a_leaf_issues_nothing";
    find_in_source(&pki, real).expect("it is there");
    for made_up in [
        "identify::tests::chains::a_leaf_issues_everything",
        "identify::tests::chain::a_leaf_issues_nothing",
        "identify::a_leaf_issues_nothing",
        // A function that is no test.
        "identify::tests::said",
    ] {
        assert!(find_in_source(&pki, made_up).is_err(), "{made_up}");
    }
    let page = "### One\n\nText.\n\n* pki: `a::b`,\n  `c::d`\n\n### Two\n\n`e::f`\n";
    let read = guarantees_of(page);
    let names: Vec<_> = read[0]
        .tests
        .iter()
        .map(|(_, name)| name.as_str())
        .collect();
    assert_eq!((read.len(), names), (2, vec!["a::b", "c::d"]));
    assert!(
        read[1].tests.is_empty(),
        "a name in the text proves nothing"
    );
}

fn guarantees_of(page: &str) -> Vec<Guarantee> {
    let mut guarantees: Vec<Guarantee> = Vec::new();
    let mut place = None;
    for line in page.lines().take_while(|line| !line.contains(REMARKS)) {
        if let Some(heading) = line.strip_prefix("### ") {
            guarantees.push(Guarantee {
                heading: heading.to_owned(),
                tests: Vec::new(),
            });
        }
        place = match line.strip_prefix("* ") {
            Some(item) => item.split_once(": ").map(|(place, _)| place.to_owned()),
            None => place.filter(|_| line.starts_with("  ")),
        };
        if let (Some(place), Some(guarantee)) = (&place, guarantees.last_mut()) {
            let names = line.split('`').skip(1).step_by(2);
            let tests = names.map(|name| (place.clone(), name.to_owned()));
            guarantee.tests.extend(tests);
        }
    }
    guarantees
}

/// What this test program lists with these arguments.
fn listed(arguments: &[&str]) -> BTreeSet<String> {
    let program = std::env::current_exe().expect("this program");
    let said = Command::new(program).args(arguments).output();
    let said = String::from_utf8(said.expect("it lists").stdout).expect("text");
    let names = said.lines().filter_map(|line| line.strip_suffix(": test"));
    names.map(str::to_owned).collect()
}

/// Looks for a unit test of a crate along its modules.
fn find_in_source(of_crate: &Path, name: &str) -> Result<(), String> {
    let mut folder = of_crate.join("src");
    let mut text = read(&folder.join("lib.rs"))?;
    let (modules, function) = name.rsplit_once("::").ok_or("it is in no module")?;
    for module in modules.split("::") {
        if text.lines().any(|line| is_module(line, module, ";")) {
            text = read(&folder.join(format!("{module}.rs")))?;
            folder.push(module);
        } else if !text.lines().any(|line| is_module(line, module, " {")) {
            return Err(format!("there is no module {module}"));
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    let declared = format!("fn {function}(");
    let at = lines.iter().position(|line| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.starts_with(&declared)
    });
    let above = lines[..at.ok_or("there is no such test")?].iter().rev();
    let attributes: Vec<&&str> = above
        .take_while(|line| line.starts_with(['#', '/']))
        .collect();
    let has = |attribute: &str| attributes.iter().any(|line| line.starts_with(attribute));
    match (has("#[test") || has("#[tokio::test"), has("#[ignore")) {
        (true, false) => Ok(()),
        (true, true) => Err("it is ignored".to_owned()),
        (false, _) => Err("it is no test".to_owned()),
    }
}

fn is_module(line: &str, module: &str, end: &str) -> bool {
    let declared = format!("mod {module}{end}");
    line.strip_suffix(&declared)
        .is_some_and(|before| before.is_empty() || before.starts_with("pub"))
}

fn read(file: &PathBuf) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}
