//! The buffer of one direction: held while bytes move, given back when they pause.

use bytes::BytesMut;

/// Room for the first read after a pause: a TLS record.
const FIRST: usize = 16 << 10;

/// Room once a read has filled the first: a bulk transfer then pays one system call for 64 KiB. With
/// 8 KiB the relay's share of the CPU was measured a third higher.
const FULL: usize = 64 << 10;

/// The buffer of one direction.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: BytesMut,
    room: usize,
}

impl Buffer {
    pub(super) fn empty() -> Self {
        Self {
            bytes: BytesMut::new(),
            room: FIRST,
        }
    }

    /// The buffer with room to read into.
    pub(super) fn vacant(&mut self) -> &mut BytesMut {
        self.bytes.clear();
        self.bytes.reserve(self.room);
        &mut self.bytes
    }

    /// What was read.
    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes note that a read gave `count` bytes.
    pub(super) const fn grow_after(&mut self, count: usize) {
        if count >= FIRST {
            self.room = FULL;
        }
    }

    /// Gives the memory back: nothing moves now.
    pub(super) fn release(&mut self) {
        *self = Self::empty();
    }
}
