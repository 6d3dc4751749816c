//! Printing for people and for programs. A closed pipe (`gangplank … | head`) is not an error.

use std::io::{ErrorKind, Write as _, stdout};

use anyhow::Context as _;
use serde::Serialize;

use crate::cli::OutputFormat;
use crate::failure::{Failure, Outcome};

/// Prints text and a line end on standard output.
///
/// # Errors
///
/// When standard output cannot be written, except that its reader has gone.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Running(
            anyhow::Error::new(error).context("standard output cannot be written"),
        )),
        _ => Ok(()),
    }
}

/// Prints a value in the form asked for; `table` makes the one for people.
///
/// # Errors
///
/// As [`print()`], and when the value cannot be serialised.
pub(crate) fn show<T: Serialize>(
    value: &T,
    format: OutputFormat,
    table: impl FnOnce(&T) -> String,
) -> Outcome {
    match format {
        OutputFormat::Table => print(table(value).trim_end()),
        OutputFormat::Json => print(
            &serde_json::to_string_pretty(value).context("the answer cannot be written as JSON")?,
        ),
        OutputFormat::Yaml => print(
            serde_saphyr::to_string(value)
                .context("the answer cannot be written as YAML")?
                .trim_end(),
        ),
    }
}

/// Lines up rows of cells in columns, as kubectl does: three blanks between.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or_default())
        .map(width)
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["NAME".to_owned(), "AGE".to_owned()],
            vec!["edge-1.acme".to_owned(), "3s".to_owned()],
        ];
        assert_eq!(columns(&rows), "NAME          AGE\nedge-1.acme   3s");
    }
}
