use std::hash::{BuildHasherDefault, Hasher};

use retainit_plugin::{CachedEntry, EntryAddress, EntryRef, NewEntry, Result, Visit};

/// Longest key that is stored in the slot itself.
const SHORT: usize = 22;

/// One entry, as both stores hold it under the hash of its key.
///
/// Two keys of one hash are not held side by side: the later one takes the place of the earlier. Of ten million keys
/// with 64 well-mixed bits each, two meet with a chance of three in a million, and it costs them a load: a visitor is
/// never shown the wrong entry without its key.
pub(crate) struct Slot {
    cached: CachedEntry,
    site: u32,
    /// The weight in bytes; where it does not fit, the key is [`Key::Heavy`] and holds it.
    bytes: u32,
    key: Key,
}

enum Key {
    Short { len: u8, text: [u8; SHORT] },
    Long(Box<[u8]>),
    Heavy(Box<Heavy>),
}

/// Weight and key of an entry of 4 GiB and more.
struct Heavy {
    bytes: u64,
    key: Box<[u8]>,
}

impl Slot {
    pub(crate) fn new(entry: NewEntry<'_>) -> Slot {
        let NewEntry { address, key, cached, bytes, .. } = entry;
        let (bytes, key) = match u32::try_from(bytes) {
            Ok(bytes) => (bytes, Key::new(key)),
            Err(_) => (u32::MAX, Key::Heavy(Box::new(Heavy { bytes, key: key.into() }))),
        };
        Slot { cached, site: address.site, bytes, key }
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> &[u8] {
        match &self.key {
            Key::Short { len, text } => &text[..usize::from(*len)],
            Key::Long(key) => key,
            Key::Heavy(heavy) => &heavy.key,
        }
    }

    pub(crate) fn site(&self) -> u32 {
        self.site
    }

    #[inline(always)]
    pub(crate) fn cached(&self) -> &CachedEntry {
        &self.cached
    }

    /// Returns its weight, as it was given.
    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match &self.key {
            Key::Heavy(heavy) => heavy.bytes,
            _ => u64::from(self.bytes),
        }
    }

    /// Drops it, and returns what came of that, see [`CachedEntry::discard`].
    pub(crate) fn discard(self) -> Result<()> {
        self.cached.discard()
    }

    pub(crate) fn entry(&self) -> EntryRef<'_> {
        EntryRef { site: self.site, key: self.key(), cached: &self.cached }
    }

    /// Returns whether it belongs to the site of `address` and `visit` accepts it.
    #[inline(always)]
    pub(crate) fn known(&self, address: EntryAddress, visit: &mut dyn Visit) -> bool {
        self.site == address.site && visit.visit(self.key(), &self.cached)
    }

    /// Returns whether it has the key of another entry.
    pub(crate) fn has_key_of(&self, other: &Slot) -> bool {
        self.site == other.site && self.key() == other.key()
    }

    /// Returns whether it is the entry of this key.
    pub(crate) fn is(&self, address: EntryAddress, key: &[u8]) -> bool {
        self.site == address.site && self.key() == key
    }
}

impl Key {
    fn new(key: &[u8]) -> Key {
        let mut text = [0; SHORT];
        match (text.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(key);
                Key::Short { len, text }
            }
            _ => Key::Long(key.into()),
        }
    }
}

/// A hasher for keys that are hashes already.
pub(crate) type SameHash = BuildHasherDefault<Same>;

#[derive(Clone, Copy, Default)]
pub(crate) struct Same(u64);

impl Hasher for Same {
    #[inline(always)]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Hashes bytes; only hashes are hashed here, but anything else would still work.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[inline(always)]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retainit_plugin::{EntryTimes, Moment};

    use super::*;

    fn slot(key: &[u8], bytes: u64) -> Slot {
        let times = EntryTimes {
            epoch: 1,
            created: Moment::from_millis(1),
            fresh_until: Moment::NEVER,
            load_time: Duration::ZERO,
            extra: None,
        };
        let address = EntryAddress { hash: 7, site: 1 };
        Slot::new(NewEntry { address, key, cached: CachedEntry::new(1u8, times), bytes, max_entries: None })
    }

    #[test]
    fn an_entry_is_eighty_bytes() {
        assert_eq!(size_of::<(u64, Slot)>(), 80);
    }

    #[test]
    fn keys_and_weights_come_back() {
        for len in 0..300 {
            let key: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for bytes in [0, 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
                let slot = slot(&key, bytes);
                assert_eq!((slot.key(), slot.bytes()), (key.as_slice(), bytes));
            }
        }
    }
}
