//! A stream that someone else made: standard output or standard error.

use std::io::{self, Write};

use super::Sink;

/// Lines to a stream, as many as there are with one write.
#[derive(Debug)]
pub struct Stream<W>(pub W);

impl<W: Write + Send> Sink for Stream<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let written = self.0.write(lines)?;
        self.0.flush()?;
        Ok(written)
    }
}
