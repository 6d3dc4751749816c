//! Where the trail's lines end up.

mod stream;

use std::io;

pub use self::stream::Stream;

/// Takes lines. It is called on the trail's own thread and may take its time.
pub trait Sink: Send {
    /// Writes some of `lines`, which are whole JSON objects with a newline behind each, and says how many
    /// bytes of them are done for good. What is not done is offered again.
    ///
    /// # Errors
    /// When nothing could be written. The same lines are offered again after a pause.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize>;
}
