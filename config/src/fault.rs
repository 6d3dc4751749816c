//! What a person wrote wrongly: where it stands, what is wrong with it, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A line and a column, both counted from one; zero means that there is none to name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1; 0 when the fault concerns the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when only the line is known.
    pub column: usize,
}

impl Place {
    /// The file as a whole.
    pub const WHOLE_FILE: Self = Self { line: 0, column: 0 };

    /// A whole line, as PEM faults know it.
    pub const fn line(line: usize) -> Self {
        Self { line, column: 0 }
    }
}

/// One thing that is wrong with one file.
///
/// It displays as `relay.yaml:3:9: the relay's file has no key `lisen`; did you mean `listen`?`. Neither message nor
/// remedy ever repeats a secret: values are quoted only where the key cannot hold one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}; {remedy}", Position(file, *place))]
pub struct Fault {
    /// The file, as the person named it (or its folder).
    pub file: PathBuf,
    /// Where in the file.
    pub place: Place,
    reason: &'static str,
    /// What is wrong, without a full stop.
    pub message: String,
    /// What to do about it, without a full stop.
    pub remedy: String,
}

/// `file:line:column`, as far as it is known.
struct Position<'f>(&'f Path, Place);

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, Place { line, column }) = self;
        write!(f, "{}", file.display())?;
        if *line > 0 {
            write!(f, ":{line}")?;
        }
        if *column > 0 {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

impl Fault {
    /// A fault of `file` at `place`. `reason` is one CamelCase word for metrics and conditions.
    pub fn new(
        file: &Path,
        place: Place,
        reason: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self {
            file: file.to_owned(),
            place,
            reason,
            message,
            remedy,
        }
    }

    /// The class of the fault as one CamelCase word, for metrics and conditions.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// Line, from 1; 0 when the fault concerns the file as a whole.
    pub fn line(&self) -> usize {
        self.place.line
    }

    /// Column, from 1; 0 when only the line is known.
    pub fn column(&self) -> usize {
        self.place.column
    }

    /// This fault as seen from where `file` names the faulty one: both positions are told.
    #[must_use]
    pub(crate) fn referenced_from(self, file: &Path, place: Place) -> Self {
        let message = format!("{}: {}", Position(&self.file, self.place), self.message);
        Self {
            file: file.to_owned(),
            place,
            message,
            ..self
        }
    }
}

/// At least one [`Fault`], in the order of the files; displayed one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `Err` with what was found, `Ok` when nothing was.
    pub(crate) fn none_of(mut found: Vec<Fault>) -> Result<(), Self> {
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        found.dedup();
        Err(Self(found))
    }

    /// The single faults.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }

    /// The class of the first fault.
    pub fn reason(&self) -> &'static str {
        self.0.first().map_or("Unknown", Fault::reason)
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'f> IntoIterator for &'f Faults {
    type Item = &'f Fault;
    type IntoIter = std::slice::Iter<'f, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
