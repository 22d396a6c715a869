//! One number for everything that happened, in order: two runs that differ anywhere differ here, but for one chance in 2^64.

use std::hash::{Hash, Hasher};

/// A running hash. Fixed, unlike std's hasher, which is drawn per process; no guard against those who search for collisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Takes a value in.
    pub fn take(&mut self, value: &(impl Hash + ?Sized)) {
        value.hash(self);
    }

    /// The number so far.
    pub fn value(self) -> u64 {
        // The finaliser of MurmurHash3: the last word taken in reaches every bit.
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        mixed ^ (mixed >> 33)
    }

    fn word(&mut self, word: u64) {
        // The constant of FxHash (rustc): the golden ratio in 64 bits, made odd.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        self.value()
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            // The length tells `a` from `a\0`.
            self.word(u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_count() {
        let of = |values: &[&str]| {
            let mut digest = Digest::default();
            values.iter().for_each(|value| digest.take(*value));
            digest.value()
        };
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_ne!(of(&["ab"]), of(&["a", "b"]));
        assert_ne!(of(&["a"]), of(&["a\0"]));
        assert_ne!(of(&["twelve bytes"]), of(&["twelve bytez"]));
    }
}
