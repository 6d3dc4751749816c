//! `exit.audit`: where the audit trail goes, and what happens when it cannot go there.

mod webhook;

use std::path::{Path, PathBuf};

use crate::scalar::{self, quoted};
use crate::section::Section;

pub use webhook::Webhook;

/// Where the trail goes.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// What takes it.
    pub sink: Sink,
    /// What happens when that takes it slower than it comes, and too much waits.
    pub when_full: WhenFull,
}

/// What happens when too many events wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Further ones are dropped and counted.
    #[default]
    Drop,
    /// Further requests wait, and are refused in the end.
    Block,
}

/// What takes the trail.
#[derive(Clone, Debug, Default)]
pub enum Sink {
    /// Nothing: there is no trail.
    Off,
    /// Standard error, where the log is.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// A file that is rotated.
    File(File),
    /// A collector that is asked over HTTP.
    Webhook(Webhook),
}

/// A file that is rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where the newest events are; its folder existed when the role's file was loaded.
    pub path: PathBuf,
    /// The size in bytes that it never exceeds.
    pub max_size: u64,
    /// How many older files are kept beside it.
    pub keep: u64,
}

/// The smallest size of a file: below it an exit under load would do little else than rename.
const SMALLEST_FILE: u64 = 1 << 20;
/// The largest: what an editor or a copy still handles. More files do the same.
const LARGEST_FILE: u64 = 16 << 30;
/// As kube-apiserver's manifests by kubeadm have it (`--audit-log-maxsize=100`).
const USUAL_SIZE: u64 = 100 << 20;
/// A gibibyte in all, with files of the usual size.
const USUAL_COUNT: u64 = 10;
/// Each rotation renames all files, so that there must not be too many.
const MOST_FILES: u64 = 1000;

/// The word of a sink, before its block was read.
#[derive(Clone, Copy)]
enum Word {
    Off,
    Stderr,
    Stdout,
    File,
    Webhook,
}

/// The `audit` block of an exit; the default when it is missing.
pub(crate) fn read(exit: &Section<'_>) -> Option<Audit> {
    if exit.optional("audit").is_none() {
        return Some(Audit::default());
    }
    let section = exit.optional_section("audit", &["sink", "whenFull", "file", "webhook"])?;
    let words = [
        ("stderr", Word::Stderr),
        ("stdout", Word::Stdout),
        ("file", Word::File),
        ("webhook", Word::Webhook),
        ("off", Word::Off),
    ];
    let word = section.word("sink", &words, Word::Stderr)?;
    refuse_useless(&section, word);
    let sink = match word {
        Word::Off => Some(Sink::Off),
        Word::Stderr => Some(Sink::Stderr),
        Word::Stdout => Some(Sink::Stdout),
        Word::File => file(&section).map(Sink::File),
        Word::Webhook => webhook::read(&section).map(Sink::Webhook),
    };
    let words = [("Drop", WhenFull::Drop), ("Block", WhenFull::Block)];
    let when_full = section.word("whenFull", &words, WhenFull::default());
    Some(Audit {
        sink: sink?,
        when_full: when_full?,
    })
}

/// A block about a sink that is not used was meant to do something.
fn refuse_useless(section: &Section<'_>, word: Word) {
    for (key, is_used) in [
        ("file", matches!(word, Word::File)),
        ("webhook", matches!(word, Word::Webhook)),
    ] {
        if let (Some(node), false) = (section.optional(key), is_used) {
            let message = format!("`{key}` says nothing as long as `sink` is not `{key}`");
            let remedy = format!("write `sink: {key}`, or remove it");
            section
                .sheet
                .fault(node.place, "UselessKey", message, remedy);
        }
    }
}

fn file(section: &Section<'_>) -> Option<File> {
    let section = section.required_section("file", &["path", "maxSize", "keep"])?;
    let path = path(&section);
    let max_size = max_size(&section);
    let keep = section.number("keep", 0..=MOST_FILES, USUAL_COUNT);
    Some(File {
        path: path?,
        max_size: max_size?,
        keep: keep?,
    })
}

fn path(section: &Section<'_>) -> Option<PathBuf> {
    let written = section.required_text("path")?;
    let path = section.sheet.resolve(written.text);
    let refuse = |reason, message: String, remedy| {
        section.sheet.fault(written.place, reason, message, remedy);
        None
    };
    if path.is_dir() {
        let message = format!("{} is a directory", quoted(written.text));
        return refuse(
            "NotAFile",
            message,
            "name a file in it, such as `audit.log`",
        );
    }
    // The folder of a file beside a role file that was named without one has no name either.
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let message = format!("{} lies in no directory that exists", quoted(written.text));
        let remedy = "create the directory; the path is relative to this file";
        return refuse("NoSuchDirectory", message, remedy);
    }
    Some(path)
}

fn max_size(section: &Section<'_>) -> Option<u64> {
    if section.optional("maxSize").is_none() {
        return Some(USUAL_SIZE);
    }
    let written = section.optional_text("maxSize")?;
    let size = section
        .sheet
        .accept(written.place, scalar::size(written.text))?;
    if (SMALLEST_FILE..=LARGEST_FILE).contains(&size) {
        return Some(size);
    }
    let message = format!(
        "{} is too small or too large for a file",
        quoted(written.text)
    );
    section.sheet.fault(
        written.place,
        "OutOfRange",
        message,
        "write a size from `1Mi` to `16Gi`",
    );
    None
}

#[cfg(test)]
mod tests;
