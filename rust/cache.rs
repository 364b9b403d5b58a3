//! What was merged before: a thread's own memory of pretokens that are no token as a whole.
//!
//! The same words come again, so their ids are kept, up to a few megabytes a thread. An entry is found
//! by hash and confirmed byte for byte, and what it holds is a pure function of vocabulary and bytes:
//! the cache changes speed, never ids. When it is full it begins anew.

use crate::pieces::{Seed, hash};

/// Entries; each place has the latest pretoken of its hash.
const ENTRIES: usize = 1 << 17;
/// Bytes of pretokens that are kept at most.
const KEPT_BYTES: usize = 1 << 21;
/// Ids that are kept at most.
const KEPT_IDS: usize = 1 << 20;
/// Longer pretokens rarely come again.
pub const LONGEST: usize = 255;

/// The memory of one thread: at most 2 MB of entries, 2 MB of bytes and 4 MB of ids.
pub struct Cache {
    seed: Seed,
    /// The vocabulary that the ids are of.
    owner: u64,
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// The upper half of the hash.
    tag: u32,
    bytes: u32,
    ids: u32,
    length: u8,
    count: u8,
}

impl Default for Cache {
    fn default() -> Self {
        let (entries, bytes, ids) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed: Seed::random(), owner: 0, entries, bytes, ids }
    }
}

impl Cache {
    /// Forgets everything if it is of another vocabulary than `owner`, which is not 0.
    pub fn begin(&mut self, owner: u64) {
        if self.owner != owner {
            self.clear();
            self.owner = owner;
        }
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.ids.clear();
    }

    /// The ids of `pretoken`, and in any case what [`Cache::keep`] needs.
    #[inline]
    pub fn find(&self, pretoken: &[u8]) -> (u64, Option<&[u32]>) {
        let hash = hash(pretoken, self.seed);
        let entry = self.entries.get(hash as usize % ENTRIES);
        (hash, entry.and_then(|entry| self.confirm(entry, hash, pretoken)))
    }

    #[inline]
    fn confirm(&self, entry: &Entry, hash: u64, pretoken: &[u8]) -> Option<&[u32]> {
        let start = entry.bytes as usize;
        let same = entry.tag == (hash >> 32) as u32
            && self.bytes.get(start..start + usize::from(entry.length)) == Some(pretoken);
        let start = entry.ids as usize;
        self.ids.get(start..start + usize::from(entry.count)).filter(|_| same)
    }

    /// Keeps the ids of a pretoken of 1 to [`LONGEST`] bytes that was not found; `hash` is from there.
    pub fn keep(&mut self, hash: u64, pretoken: &[u8], ids: &[u32]) {
        if self.bytes.len() + pretoken.len() > KEPT_BYTES || self.ids.len() + ids.len() > KEPT_IDS {
            self.clear();
        }
        let (Ok(length), Ok(count)) = (pretoken.len().try_into(), ids.len().try_into()) else {
            return;
        };
        // Without memory nothing is kept.
        let missing = ENTRIES - self.entries.len();
        if self.entries.try_reserve_exact(missing).is_err()
            || self.bytes.try_reserve(pretoken.len()).is_err()
            || self.ids.try_reserve(ids.len()).is_err()
        {
            return;
        }
        self.entries.resize(ENTRIES, Entry::default());
        let (bytes, first) = (self.bytes.len() as u32, self.ids.len() as u32);
        self.bytes.extend_from_slice(pretoken);
        self.ids.extend_from_slice(ids);
        if let Some(entry) = self.entries.get_mut(hash as usize % ENTRIES) {
            *entry = Entry { tag: (hash >> 32) as u32, bytes, ids: first, length, count };
        }
    }
}
