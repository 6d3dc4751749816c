//! A record's body, taken apart field by field.

use super::WireFault;

/// The part of a body that is not read yet.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn of(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], WireFault> {
        let (array, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireFault::Truncated { what })?;
        self.rest = rest;
        Ok(*array)
    }

    /// The next byte.
    pub(super) fn byte(&mut self, what: &'static str) -> Result<u8, WireFault> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// The next two bytes as an integer.
    pub(super) fn short(&mut self, what: &'static str) -> Result<u16, WireFault> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// The next `length` bytes.
    pub(super) fn bytes(
        &mut self,
        length: usize,
        what: &'static str,
    ) -> Result<&'a [u8], WireFault> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireFault::Truncated { what })?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Everything that is left.
    pub(super) const fn remainder(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Refuses bytes behind the last field: a record means one thing only.
    pub(super) const fn end(&self, what: &'static str) -> Result<(), WireFault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(WireFault::Surplus {
            what,
            surplus: self.rest.len(),
        })
    }
}
