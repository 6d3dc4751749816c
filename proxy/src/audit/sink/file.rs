//! A file that never grows beyond its size: then it becomes `NAME.1`, the last `NAME.1` becomes `NAME.2`,
//! and so on, and a new one is begun.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use gangplank_config::role::audit;

use super::{Sink, whole_lines};

/// Whoever reads it reads who did what: the owner alone.
const MODE: u32 = 0o600;

/// A file, opened for appending.
#[derive(Debug)]
pub struct RotatingFile {
    config: audit::File,
    open: Open,
}

/// The newest file.
#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode: what it is, whatever its name is now.
    identity: (u64, u64),
    size: u64,
    /// The last line was begun and is not whole.
    within_line: bool,
}

impl RotatingFile {
    /// Opens the file, which may have lines of an earlier time.
    ///
    /// # Errors
    /// When it cannot be opened, or is something else than a file.
    pub fn open(config: audit::File) -> io::Result<Self> {
        let open = Open::at(&config)?;
        Ok(Self { config, open })
    }

    /// Goes over to a new file if someone else has moved or removed this one.
    fn follow(&mut self) -> io::Result<()> {
        let there = fs::metadata(&self.config.path);
        let is_ours = there.is_ok_and(|it| (it.dev(), it.ino()) == self.open.identity);
        if !is_ours {
            self.open = Open::at(&self.config)?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.config.keep == 0 {
            fs::remove_file(&self.config.path)?;
        } else {
            for number in (1..self.config.keep).rev() {
                match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                    Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
                    _ => {}
                }
            }
            fs::rename(&self.config.path, self.numbered(1))?;
        }
        self.open = Open::at(&self.config)?;
        Ok(())
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let mut name = OsString::from(&self.config.path);
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }

    /// How many more bytes the file takes.
    fn room(&self) -> usize {
        let room = self.config.max_size.saturating_sub(self.open.size);
        usize::try_from(room).unwrap_or(usize::MAX)
    }
}

impl Open {
    fn at(config: &audit::File) -> io::Result<Self> {
        // A pipe would stop the start until someone reads it.
        if fs::metadata(&config.path).is_ok_and(|it| !it.is_file()) {
            let fault = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, fault));
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(MODE)
            .open(&config.path)?;
        let found = file.metadata()?;
        let mut open = Self {
            file,
            identity: (found.dev(), found.ino()),
            size: found.len(),
            within_line: false,
        };
        open.end_torn_line()?;
        Ok(open)
    }

    /// What was cut off when a process or a disk came to its end must not spoil the line behind it.
    fn end_torn_line(&mut self) -> io::Result<()> {
        let mut last = [b'\n'];
        if let Some(place) = self.size.checked_sub(1) {
            self.file.read_exact_at(&mut last, place)?;
        }
        if last != *b"\n" {
            self.append(b"\n")?;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.size = self
            .size
            .saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        if let Some(last) = written.checked_sub(1).and_then(|last| bytes.get(last)) {
            self.within_line = *last != b'\n';
        }
        Ok(written)
    }
}

impl Sink for RotatingFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.open.within_line {
            // The rest of a line belongs to its beginning, wherever that is now.
            let end = lines.iter().position(|byte| *byte == b'\n');
            let rest = end.and_then(|end| lines.get(..=end)).unwrap_or(lines);
            return self.open.append(rest);
        }
        self.follow()?;
        if whole_lines(lines, self.room()).is_empty() {
            self.rotate()?;
        }
        self.open.append(whole_lines(lines, self.room()))
    }
}

#[cfg(test)]
mod tests;
