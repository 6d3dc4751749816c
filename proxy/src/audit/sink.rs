//! Where the trail's lines end up.

mod file;
mod stream;
mod webhook;

use std::io;

use gangplank_config::role::audit;

pub use self::file::RotatingFile;
pub use self::stream::Stream;
pub use self::webhook::{Webhook, WebhookFault};

/// Takes lines. It is called on the trail's own thread and may take its time.
pub trait Sink: Send {
    /// Writes some of `lines`, which are whole JSON objects with a newline behind each, and says how many
    /// bytes of them are done for good. What is not done is offered again.
    ///
    /// # Errors
    /// When nothing could be written. The same lines are offered again after a pause.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize>;
}

/// What the file of a role asks for; nothing where there is to be no trail.
///
/// # Errors
/// When it cannot be opened.
pub fn open(written: &audit::Sink) -> io::Result<Option<Box<dyn Sink>>> {
    Ok(match written {
        audit::Sink::Off => None,
        audit::Sink::Stderr => Some(Box::new(Stream(io::stderr()))),
        audit::Sink::Stdout => Some(Box::new(Stream(io::stdout()))),
        audit::Sink::File(file) => Some(Box::new(RotatingFile::open(file.clone())?)),
        audit::Sink::Webhook(webhook) => Some(Box::new(Webhook::new(webhook.clone())?)),
    })
}

/// As many whole lines as fit into so many bytes, from the beginning.
fn whole_lines(lines: &[u8], room: usize) -> &[u8] {
    let fitting = lines.get(..room).unwrap_or(lines);
    let end = fitting.iter().rposition(|byte| *byte == b'\n');
    end.and_then(|end| lines.get(..=end)).unwrap_or_default()
}
