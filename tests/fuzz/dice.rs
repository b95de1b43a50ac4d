//! Random choices from a reproducible seed.

use kiwivm_exporter::kiwivm::mix;

pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub fn roll(&mut self) -> u64 {
        // The increment of splitmix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `limit`, or 0 if the limit is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.roll() % limit).unwrap_or_default()
    }

    /// True with this probability in percent.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    pub fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Corrupts bytes at random.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => {
                    let end = (at + self.below(20)).min(bytes.len());
                    bytes.drain(at..end);
                }
                2 => {
                    let byte = self.roll().to_le_bytes()[0];
                    bytes.insert(at, byte);
                }
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                4 => {
                    let piece = *self.pick(
                        &[
                            &b"\\"[..],
                            b"\"",
                            b"\0",
                            b"\xff\xfe",
                            b"\xEF\xBB\xBF",
                            b",",
                            b"}",
                            b"]",
                            b"[[[[[[[[",
                            b"\\ud83d",
                            b"&#x",
                            b"%2",
                        ]
                        .each_ref()
                        .map(|piece| piece),
                    );
                    bytes.splice(at..at, piece.iter().copied());
                }
                _ => {
                    let from = self.below(at + 1);
                    let copy = bytes[from..at].to_vec();
                    // Limits the exponential growth by repeated copying.
                    if bytes.len() < 100_000 {
                        bytes.splice(at..at, copy);
                    }
                }
            }
        }
    }
}
