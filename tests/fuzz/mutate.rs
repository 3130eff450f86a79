use crate::runner::Random;

/// Bytes that begin or end something in one format or another.
const TELLING: [u8; 16] = [0, 1, 2, 0x7f, 0x80, 0x81, 0x91, 0xc0, 0xc1, 0xc6, 0xd9, 0xdd, 0xdf, 0xff, b'[', b'"'];

/// Changes bytes in one to four places.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random, others: &[&[u8]]) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(9) {
            _ if bytes.is_empty() => bytes.push(random.number() as u8),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = TELLING[random.below(TELLING.len())],
            2 => bytes[at] = random.number() as u8,
            3 => bytes.insert(at, TELLING[random.below(TELLING.len())]),
            4 => drop(bytes.remove(at)),
            5 => bytes.truncate(at),
            6 => drop(bytes.splice(at..at, random.number().to_le_bytes())),
            7 => {
                let end = at + random.below(bytes.len() - at);
                let again = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, again));
            }
            _ => {
                let other = random.of(others);
                let from = random.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}
