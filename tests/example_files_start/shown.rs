//! The examples of configuration that a person may find and copy, and each of them with one key too many.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::manual::Page;

/// One of them.
pub(super) struct Example {
    /// Where a person finds it.
    pub(super) place: String,
    /// The role file or trust file that it is of.
    pub(super) file: &'static str,
    pub(super) text: String,
}

/// An example with a key that nobody knows.
pub(super) struct Broken {
    pub(super) text: String,
    /// Line and column of that key, from 1.
    pub(super) place: (usize, usize),
}

/// All of them; manifests for Kubernetes itself are not ours to refuse.
pub(super) fn everything(root: &Path) -> Vec<Example> {
    let mut found = Vec::new();
    for file in files_below(&root.join("docs")) {
        let place = place_of(&file, root);
        if place.ends_with(".yaml") {
            found.push((place, read(&file)));
        } else if let Some(page) = place.strip_prefix("docs/").filter(|it| it.ends_with(".md")) {
            let blocks = Page::open(page).all_yaml();
            let commands = Page::open(page).all_bash();
            let written = commands.iter().flat_map(|script| here_documents(script));
            found.extend(
                blocks
                    .into_iter()
                    .chain(written)
                    .map(|text| (place.clone(), text)),
            );
        }
    }
    for file in files_below(&root.join("demo")) {
        let place = place_of(&file, root);
        let written = here_documents(&read(&file));
        found.extend(written.into_iter().map(|text| (place.clone(), text)));
    }
    let ours = found.into_iter().filter_map(|(place, text)| {
        let file = file_of(&text)?;
        Some(Example { place, file, text })
    });
    ours.collect()
}

/// What a text is an example of.
fn file_of(text: &str) -> Option<&'static str> {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("kind: TrustedIdentityProvider") {
        Some(super::TRUST)
    } else if has("apiVersion:") {
        None
    } else if has("namespace:") {
        Some("controller.yaml")
    } else if has("domain:")
        || has("enrolment:")
        || text.contains("  serverName:") && !has("relays:")
    {
        Some("relay.yaml")
    } else if has("relays:") {
        Some("agent.yaml")
    } else {
        Some("proxy.yaml")
    }
}

/// The text with an unknown key before each key of a block, and at the beginning of each mapping in braces.
pub(super) fn with_an_unknown_key(text: &str) -> Vec<Broken> {
    let mut all = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let bare = line.split(" #").next().unwrap_or_default();
        if bare.trim_start().starts_with('#') {
            continue;
        }
        let indent = bare.len() - bare.trim_start_matches([' ', '-']).len();
        if bare.trim_end().ends_with(':') || bare.contains(": ") {
            let blank = " ".repeat(indent);
            let behind = line.split_at(indent).1;
            let first = format!("{}unheardOf: x", line.split_at(indent).0);
            all.push(broken(
                &lines,
                number,
                &format!("{first}\n{blank}{behind}"),
                indent,
            ));
        }
        for (brace, _) in bare.match_indices('{') {
            let (before, behind) = line.split_at(brace + 1);
            let key = format!("{before}unheardOf: x,{behind}");
            all.push(broken(&lines, number, &key, brace + 1));
        }
    }
    assert!(!all.is_empty(), "no mapping in {text}");
    all
}

fn broken(lines: &[&str], number: usize, line: &str, column: usize) -> Broken {
    let mut lines = lines.to_vec();
    lines[number] = line;
    Broken {
        text: lines.join("\n") + "\n",
        place: (number + 1, column + 1),
    }
}

/// What a shell script writes with `<< YAML` or `<<EOF`. Its variables stand in values: a name has to be one, other values may be wrong too.
fn here_documents(script: &str) -> Vec<String> {
    let mut written = Vec::new();
    let mut document: Option<String> = None;
    let begins = ["<< YAML", "<< 'YAML'", "<<EOF", "<<'EOF'"];
    for line in script.lines() {
        match &mut document {
            None if begins.iter().any(|begin| line.contains(begin)) => {
                document = Some(String::new());
            }
            None => {}
            Some(_) if matches!(line, "YAML" | "EOF") => written.extend(document.take()),
            Some(text) => *text += &format!("{}\n", line.replace("$1", "team-a")),
        }
    }
    written
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn place_of(file: &Path, root: &Path) -> String {
    let place = file.strip_prefix(root).expect("below it");
    place.display().to_string()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("text")
}
