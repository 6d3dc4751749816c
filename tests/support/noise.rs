//! Bytes in any amount whose every prefix has a digest that the other side can compute too.

use aws_lc_rs::digest::{Context, SHA256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// How many bytes are made at a time.
pub(crate) const BLOCK: usize = 64 << 10;

/// An endless sequence of bytes, another for each seed. No two blocks are alike.
#[derive(Debug)]
pub(crate) struct Noise {
    block: Vec<u8>,
    number: u64,
}

impl Noise {
    /// The sequence of that seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let block = (0..BLOCK / 8)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        Self { block, number: 0 }
    }

    /// The next block.
    pub(crate) fn next_block(&mut self) -> &[u8] {
        self.number += 1;
        self.block[..8].copy_from_slice(&self.number.to_le_bytes());
        &self.block
    }

    /// Writes the next so many bytes of it, which must be the last.
    pub(crate) async fn write_to(
        mut self,
        to: &mut (impl AsyncWrite + Unpin),
        length: usize,
    ) -> std::io::Result<()> {
        let mut left = length;
        while left > 0 {
            let count = left.min(BLOCK);
            to.write_all(&self.next_block()[..count]).await?;
            left -= count;
        }
        to.flush().await
    }
}

/// The digest of the first so many bytes of a sequence.
pub(crate) fn digest_of(seed: u64, length: usize) -> Vec<u8> {
    let (mut noise, mut digest) = (Noise::new(seed), Context::new(&SHA256));
    let mut left = length;
    while left > 0 {
        let count = left.min(BLOCK);
        digest.update(&noise.next_block()[..count]);
        left -= count;
    }
    digest.finish().as_ref().to_vec()
}

/// What was read of a stream until it ended, one way or the other.
#[derive(Debug)]
pub(crate) struct Heard {
    /// How much.
    pub(crate) length: usize,
    /// The digest of it.
    pub(crate) digest: Vec<u8>,
    /// `Ok` for a clean end.
    pub(crate) end: std::io::Result<()>,
}

impl Heard {
    /// Reads until the end, or at most so much.
    pub(crate) async fn from(stream: &mut (impl AsyncRead + Unpin), most: usize) -> Self {
        let (mut digest, mut chunk, mut length) = (Context::new(&SHA256), vec![0; BLOCK], 0);
        let end = loop {
            let room = chunk.len().min(most - length);
            if room == 0 {
                break Ok(());
            }
            match stream.read(&mut chunk[..room]).await {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    digest.update(&chunk[..count]);
                    length += count;
                }
                Err(error) => break Err(error),
            }
        };
        Self {
            length,
            digest: digest.finish().as_ref().to_vec(),
            end,
        }
    }

    /// How it ended, to be compared.
    pub(crate) fn end_kind(&self) -> Result<(), std::io::ErrorKind> {
        self.end.as_ref().map(|_| ()).map_err(std::io::Error::kind)
    }

    /// Whether it is the beginning of that sequence.
    pub(crate) fn is_prefix_of(&self, seed: u64) -> bool {
        self.digest == digest_of(seed, self.length)
    }
}

/// Numbers that look random (xorshift64*).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of that seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Others each time; the seed, to be told when a test fails, and the numbers.
    pub(crate) fn fresh() -> (u64, Self) {
        use std::hash::{BuildHasher as _, RandomState};
        let seed = RandomState::new().hash_one(0);
        (seed, Self::new(seed))
    }

    /// The next.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next below a bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a bound");
        usize::try_from(self.next() % bound).expect("below the bound")
    }
}
