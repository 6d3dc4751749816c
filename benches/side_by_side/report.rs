//! What a run says in the end: a table for people, JSON for programs, how Gangplank stands to the others, and
//! whether it reached its targets.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::footprint::Footprint;
use crate::suite::wan::Wan;

mod line;
mod standing;
mod table;
mod verdict;

pub(crate) use line::Line;
use standing::{limit, standing};
use verdict::verdicts;

/// All of a run.
#[derive(Debug)]
pub(crate) struct Report {
    circumstances: Value,
    pace: Value,
    lines: Vec<Line>,
    footprint: Option<Footprint>,
    wan: Option<Wan>,
}

impl Line {
    /// Short, while the run goes on.
    pub(crate) fn in_words(&self) -> String {
        let short = table::short(self);
        match self.details() {
            Some(details) => format!("{short}\n      {details}"),
            None => short,
        }
    }
}

impl Report {
    /// Nothing measured yet.
    pub(crate) const fn new(circumstances: Value, pace: Value) -> Self {
        Self {
            circumstances,
            pace,
            lines: Vec::new(),
            footprint: None,
            wan: None,
        }
    }

    /// Takes a row's lines in.
    pub(crate) fn extend(&mut self, lines: Vec<Line>) {
        self.lines.extend(lines);
    }

    /// Takes the footprint in.
    pub(crate) fn add_footprint(&mut self, footprint: Footprint) {
        self.footprint = Some(footprint);
    }

    /// Takes the wide area in.
    pub(crate) fn add_wan(&mut self, wan: Wan) {
        self.wan = Some(wan);
    }

    /// The table, and what follows from it.
    pub(crate) fn print(&self) {
        if !self.lines.is_empty() {
            self.print_table();
        }
        if let Some(footprint) = &self.footprint {
            footprint.print();
        }
        if let Some(wan) = &self.wan {
            wan.print();
        }
        let verdicts = verdicts(&self.lines);
        if !verdicts.is_empty() {
            println!("\ntargets");
        }
        for verdict in verdicts {
            println!("{}", verdict.in_words());
        }
    }

    fn print_table(&self) {
        println!();
        for line in table::whole(&self.lines) {
            println!("{line}");
        }
        println!(
            "\nMedians. CPU µs: all processes of the path, for each answer. MiB: the same processes' memory (PSS). \
             gen/up: cores that generator and upstream used.\n"
        );
        for details in self.lines.iter().filter_map(Line::details) {
            println!("{details}");
        }
        for remark in self.remarks() {
            println!("{remark}");
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut rows: Vec<&str> = self.lines.iter().map(|line| line.row).collect();
        rows.dedup();
        let mut remarks = Vec::new();
        for row in rows {
            let lines: Vec<&Line> = self.lines.iter().filter(|line| line.row == row).collect();
            remarks.extend(standing(row, &lines));
            remarks.extend(limit(row, &lines));
        }
        remarks
    }

    /// The run, and one object a row and stack, a line each.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let run = json!({ "circumstances": self.circumstances, "pace": self.pace });
        let rows: Vec<Value> = self.lines.iter().map(Line::json).collect();
        let verdicts = verdicts(&self.lines);
        let targets: Vec<Value> = verdicts.iter().map(verdict::Verdict::json).collect();
        let text = format!(
            "{{\n\"run\": {run},\n\"rows\": {},\n\"footprint\": {},\n\"wan\": {},\n\"targets\": {}\n}}\n",
            a_line_each(&rows),
            self.footprint.as_ref().map_or(Value::Null, Footprint::json),
            self.wan.as_ref().map_or(Value::Null, Wan::json),
            a_line_each(&targets)
        );
        fs::write(path, text).with_context(|| path.display().to_string())?;
        println!("\nwritten: {}", path.display());
        Ok(())
    }
}

/// So that two runs can be compared line by line.
fn a_line_each(objects: &[Value]) -> String {
    let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
    format!("[\n{}\n]", lines.join(",\n"))
}
