//! Hash of a key: one stream into which every part is mixed in its order.
//!
//! A part is a tag, a tag and a word, or bytes. Each is one step of `state = fold((state ^ a) · (secret ^ b))`, where
//! `fold` adds the halves of the product of 128 bits without carry, as wyhash and foldhash do. So the order of parts
//! counts, and so do their kinds and lengths, which choose the secret. State and secrets are random in each process: a
//! caller who knows neither cannot choose parts that make a factor zero, which would erase everything before.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use super::Sink;

/// Random start of all hashes of a process. A plan holds a copy next to everything else that a hit reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashSeed {
    state: u64,
    /// Secret for tags and words.
    word: u64,
    /// Secret for bytes.
    bytes: u64,
}

impl HashSeed {
    /// Returns the seed of this process, from the operating system's randomness.
    pub(crate) fn of_process() -> HashSeed {
        static SEED: LazyLock<HashSeed> = LazyLock::new(|| {
            let random = RandomState::new();
            HashSeed { state: random.hash_one(0), word: random.hash_one(1), bytes: random.hash_one(2) }
        });
        *SEED
    }

    #[inline(always)]
    pub(super) fn sink(&self) -> HashSink {
        HashSink { state: self.state, seed: *self }
    }
}

/// Sink that hashes its input.
#[derive(Debug)]
pub(crate) struct HashSink {
    state: u64,
    seed: HashSeed,
}

/// Factor that spreads tags, which are small and close to each other, over a secret.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl HashSink {
    #[inline(always)]
    pub(super) fn finish(&self) -> u64 {
        // Inputs that differ only in the low or high bits of the last word differ in few bits of the state: this
        // spreads them over all bits, and is a bijection, so different states give different hashes.
        self.state ^ self.state.rotate_left(24) ^ self.state.rotate_left(49)
    }

    #[inline(always)]
    fn mix(&mut self, low: u64, high: u64) {
        self.state = fold(self.state ^ low, high);
    }
}

impl Sink for HashSink {
    #[inline(always)]
    fn tag(&mut self, tag: u8) {
        self.word(tag, 0);
    }

    #[inline(always)]
    fn word(&mut self, tag: u8, word: u64) {
        self.mix(word, self.seed.word ^ u64::from(tag).wrapping_mul(SPREAD));
    }

    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        // Short and overlapping reads below do not distinguish lengths, so that the length chooses the secret. It changes
        // the state too: a step that only multiplies by one of two rotations of a secret commutes with the other, and
        // `("", "\0")` would have the hash of `("\0", "")` under one seed of eight.
        let secret = self.seed.bytes.rotate_left(bytes.len() as u32);
        self.state ^= self.seed.word.wrapping_mul(bytes.len() as u64);
        match (bytes.len(), bytes.first_chunk(), bytes.last_chunk()) {
            (9..=16, Some(first), Some(last)) => {
                self.mix(u64::from_le_bytes(*first), u64::from_le_bytes(*last) ^ secret)
            }
            (17.., ..) => self.long(bytes, secret),
            _ => self.mix(short(bytes), secret),
        }
    }

    /// Takes text as bytes, whose hash includes the length.
    #[inline(always)]
    fn text(&mut self, text: &[u8]) {
        self.put(text);
    }
}

impl HashSink {
    /// Takes more than sixteen bytes in two chains, which the processor computes in parallel.
    fn long(&mut self, bytes: &[u8], secret: u64) {
        let (mut a, mut b) = (self.state, self.seed.word);
        let mut both = |first: &[u8], second: &[u8]| {
            a = fold(a ^ word_at(first, 0), word_at(first, 8) ^ secret);
            b = fold(b ^ word_at(second, 0), word_at(second, 8) ^ secret);
        };
        // The last block may overlap the one before it. Lengths with different numbers of blocks take different numbers
        // of steps, and those with an equal number rotate the secret differently.
        let mut rest = bytes;
        while rest.len() > 32 {
            both(rest, &rest[16..]);
            rest = &rest[32..];
        }
        both(&bytes[bytes.len().saturating_sub(32)..], &bytes[bytes.len() - 16..]);
        self.state = a ^ b;
    }
}

/// Packs up to eight bytes into a word, using each of them.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (bytes, bytes.first_chunk(), bytes.last_chunk()) {
        (_, Some(first), Some(last)) => half(first) | half(last) << 32,
        ([first, .., last], ..) => u64::from(*first) | u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(*last) << 16,
        ([one], ..) => u64::from(*one) | u64::from(*one) << 8 | u64::from(*one) << 16,
        ([], ..) => 0,
    }
}

#[inline(always)]
fn word_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..].first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    // T-128: under no seed do two texts have the hash of the same texts in another order or of other lengths.
    #[test]
    fn pairs_of_zeros_differ_under_every_seed() {
        let texts: Vec<Vec<u8>> = (0..20).map(|len| vec![0; len]).collect();
        let random = RandomState::new();
        for number in 0..500_u64 {
            let part = |of: u64| random.hash_one((number, of));
            let seed = HashSeed { state: part(0), word: part(1), bytes: part(2) };
            let pairs = texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other)));
            let mut hashes: Vec<u64> = pairs
                .map(|(one, other)| {
                    let mut sink = seed.sink();
                    sink.text(one);
                    sink.text(other);
                    sink.finish()
                })
                .collect();
            hashes.sort_unstable();
            assert!(hashes.windows(2).all(|two| two[0] != two[1]), "two pairs have one hash");
        }
    }
}
