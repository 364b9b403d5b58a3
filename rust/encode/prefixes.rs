//! Texts whose beginnings are known: only the rest is encoded.
//!
//! ```text
//! text     | block      | block      | block      | rest
//!          window -------------+
//!                       window -------------+
//! ```
//!
//! A text is cut into *blocks*. A block is found by a *window*, the next 2,048 bytes: it ends at the last position in
//! it where the text may be cut whatever follows (`added/last_cut.rs`), so what it is and what its ids are depends on
//! the window alone. A window without such a position is made longer. The blocks of all texts are a tree: a text that
//! has the windows of another one has its blocks. What is left at the end, less than a window, is encoded each time.
//!
//! A conversation is a text, too, with marks in it; its blocks end where a message does.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::{Check, Error, always, slice};
use crate::machine::fork_lock::ForkLock;

/// Bytes that decide on a block.
pub const WINDOW_BYTES: usize = 1 << 11;
/// Blocks that are taken or added while the lock is held once.
const BLOCKS_AT_ONCE: usize = 256;
/// What is left of a cache that had become too large: this part of its limit, as a fraction of 4.
const KEPT_QUARTERS: usize = 3;

/// What is encoded block by block.
pub trait Source {
    /// All of it, as blocks are compared.
    fn bytes(&self) -> &[u8];
    /// The block that begins at `at`: the length of its window, and its own; `None` for the rest.
    fn block(&self, at: usize, check: &Check) -> Result<Option<(usize, usize)>, Error>;
    /// Adds the ids of what is from `at` to `end`, both of which are ends of blocks, or of all.
    fn encode(&self, at: usize, end: usize, ids: &mut Vec<u32>, check: &Check)
    -> Result<(), Error>;
}

/// A text with the options of its encoding, BOS and EOS aside.
pub struct TextSource<'a> {
    /// Whose ids they are.
    pub encoder: &'a Encoder,
    /// Which special tokens it may have.
    pub options: &'a Options,
    /// The text.
    pub text: &'a [u8],
}

impl Source for TextSource<'_> {
    fn bytes(&self) -> &[u8] {
        self.text
    }

    fn block(&self, at: usize, check: &Check) -> Result<Option<(usize, usize)>, Error> {
        let rest = slice(self.text, at..)?;
        let Options { allowed, disallowed, .. } = self.options;
        let mut length = WINDOW_BYTES;
        while let Some(window) = rest.get(..length) {
            if let Some(cut) = self.encoder.added.last_cut(window, allowed, disallowed, check)? {
                return Ok(Some((length, cut)));
            }
            length *= 2;
        }
        Ok(None)
    }

    fn encode(
        &self,
        at: usize,
        end: usize,
        ids: &mut Vec<u32>,
        check: &Check,
    ) -> Result<(), Error> {
        let text = slice(self.text, at..end)?;
        let encoded = self.encoder.encode(text, self.options, ids, check);
        encoded.map_err(|error| error.shifted_by(at))
    }
}

/// Whose blocks they are: those of texts do not mix with those of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Texts.
    Text,
    /// Conversations.
    Chat,
}

/// A block of some text, or one of the two roots, before the first blocks of all texts and of all conversations.
struct Block {
    before: Handle,
    hash: u64,
    window: Box<[u8]>,
    /// How much of the window it is; a window may end after its block.
    length: usize,
    ids: Box<[u32]>,
    /// How many blocks are before it.
    depth: usize,
    /// When a text last had it; one before it was used then as well, or later.
    used: u64,
    /// The one after it that was last used: for texts that grow it is the right one, and no hash is needed.
    latest: Option<Handle>,
}

impl Block {
    fn root(kind: Kind) -> Self {
        Self {
            before: Handle::root(kind),
            hash: 0,
            window: Box::default(),
            length: 0,
            ids: Box::default(),
            depth: 0,
            used: 0,
            latest: None,
        }
    }

    /// Bytes of memory, about.
    fn size(&self) -> usize {
        let tables = size_of::<Slot>() + size_of::<(Handle, u64, Vec<Handle>, Handle)>() + 32;
        self.window.len() + size_of::<u32>() * self.ids.len() + tables
    }
}

/// Where a block is, and how many others were there before it: the handle of one that was forgotten is not that of
/// the next one in its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Handle {
    slot: usize,
    generation: u64,
}

impl Handle {
    fn root(kind: Kind) -> Self {
        Self { slot: kind as usize, generation: 0 }
    }
}

struct Slot {
    generation: u64,
    block: Option<Block>,
}

/// What a cache holds and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefixInfo {
    /// Blocks that it has.
    pub blocks: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// Texts and conversations that were encoded.
    pub texts: usize,
    /// Bytes of them that were known.
    pub known_bytes: usize,
    /// All bytes of them.
    pub all_bytes: usize,
}

struct State {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// The blocks that follow one, by the hash of the beginning of their windows.
    next: HashMap<(Handle, u64), Vec<Handle>>,
    /// Goes up with each text.
    time: u64,
    info: PrefixInfo,
}

/// The blocks of texts that were encoded, in at most `limit` bytes. Threads may share it.
pub struct PrefixCache {
    limit: usize,
    hasher: RandomState,
    state: ForkLock<State>,
}

/// A block that was not known.
struct New {
    window: Box<[u8]>,
    length: usize,
    ids: Box<[u32]>,
}

impl PrefixCache {
    /// An empty one.
    pub fn new(limit: usize) -> Self {
        Self { limit, hasher: RandomState::new(), state: ForkLock::new(State::new()) }
    }

    /// What it holds and did.
    pub fn info(&self) -> PrefixInfo {
        self.with(|state| state.info)
    }

    /// Forgets all texts; what it did is still counted.
    pub fn clear(&self) -> Result<(), Error> {
        self.with(|state| state.forget(0))
    }

    /// What changes the state, or reads it. No panic leaves it in between: every change of it is a whole one. A
    /// process that is forked while a thread is here begins with an empty one.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.state.with(State::new, work)
    }

    /// Adds the ids of all of `source`. The lock is not held while something is encoded, nor while `check` looks for
    /// signals, whose handlers may use this cache. Blocks that were added before an error stay.
    pub fn encode(
        &self,
        kind: Kind,
        source: &impl Source,
        ids: &mut Vec<u32>,
        check: &Check,
    ) -> Result<(), Error> {
        let (mut at, mut last) = self.known(kind, source.bytes(), ids, check)?;
        let known = at;
        let mut new = Vec::new();
        while let Some((window, length)) = source.block(at, check)? {
            // A block is too short for its own calls.
            check()?;
            let before = ids.len();
            source.encode(at, at + length, ids, check)?;
            new.try_reserve(1)?;
            new.push(New {
                window: boxed(slice(source.bytes(), at..at + window)?)?,
                length,
                ids: boxed(slice(ids, before..)?)?,
            });
            at += length;
        }
        let end = source.bytes().len();
        source.encode(at, end, ids, check)?;
        self.with(|state| {
            state.info.texts += 1;
            state.info.known_bytes += known;
            state.info.all_bytes += end;
        });
        let (mut new, mut is_more) = (new.into_iter(), true);
        while is_more {
            check()?;
            is_more = self.with(|state| -> Result<bool, Error> {
                for block in new.by_ref().take(BLOCKS_AT_ONCE) {
                    match state.insert(last, block, &self.hasher)? {
                        Some(handle) => last = handle,
                        // What is before it was forgotten meanwhile.
                        None => return Ok(false),
                    }
                }
                if state.info.bytes > self.limit {
                    state.forget(self.limit / 4 * KEPT_QUARTERS)?;
                }
                Ok(new.len() > 0)
            })?;
        }
        Ok(())
    }

    /// Adds the ids of the blocks that are known, and gives where these end, and the last of them.
    fn known(
        &self,
        kind: Kind,
        bytes: &[u8],
        ids: &mut Vec<u32>,
        check: &Check,
    ) -> Result<(usize, Handle), Error> {
        let (mut at, mut last, mut is_more) = (0, Handle::root(kind), true);
        let time = self.with(|state| {
            state.time += 1;
            state.time
        });
        while is_more {
            check()?;
            is_more = self.with(|state| -> Result<bool, Error> {
                for _ in 0..BLOCKS_AT_ONCE {
                    let rest = slice(bytes, at..)?;
                    let Some(handle) = state.find(last, rest, &self.hasher) else {
                        return Ok(false);
                    };
                    let block = state.block_mut(handle)?;
                    block.used = block.used.max(time);
                    ids.try_reserve(block.ids.len())?;
                    ids.extend_from_slice(&block.ids);
                    (at, last) = (at + block.length, handle);
                }
                Ok(true)
            })?;
        }
        Ok((at, last))
    }
}

fn boxed<T: Copy>(values: &[T]) -> Result<Box<[T]>, Error> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(values.len())?;
    copy.extend_from_slice(values);
    Ok(copy.into_boxed_slice())
}

/// The part of a window that its block is found by. Windows that were made longer may have it in common.
fn beginning(window: &[u8]) -> &[u8] {
    window.get(..WINDOW_BYTES).unwrap_or(window)
}

const NO_BLOCK: &str = "a block of a known text is gone";

impl State {
    fn new() -> Self {
        let roots = [Kind::Text, Kind::Chat].map(Block::root);
        Self {
            slots: roots.map(|root| Slot { generation: 0, block: Some(root) }).into(),
            free: Vec::new(),
            next: HashMap::new(),
            time: 0,
            info: PrefixInfo::default(),
        }
    }

    fn get(&self, handle: Handle) -> Option<&Block> {
        let slot = self.slots.get(handle.slot)?;
        slot.block.as_ref().filter(|_| slot.generation == handle.generation)
    }

    fn block_mut(&mut self, handle: Handle) -> Result<&mut Block, Error> {
        let slot = self.slots.get_mut(handle.slot);
        let slot = slot.filter(|slot| slot.generation == handle.generation);
        always(slot.and_then(|slot| slot.block.as_mut()), NO_BLOCK)
    }

    /// The block after `last` that `rest` has.
    fn find(&mut self, last: Handle, rest: &[u8], hasher: &RandomState) -> Option<Handle> {
        let is_here = |&handle: &Handle| {
            self.get(handle).is_some_and(|block| rest.starts_with(&block.window))
        };
        if let Some(found) = self.get(last)?.latest.filter(is_here) {
            return Some(found);
        }
        if rest.len() < WINDOW_BYTES {
            return None;
        }
        let hash = hasher.hash_one(beginning(rest));
        let found = self.next.get(&(last, hash))?.iter().copied().find(is_here)?;
        self.block_mut(last).ok()?.latest = Some(found);
        Some(found)
    }

    /// Adds a block after another one, and gives its handle; `None` if the other one was forgotten.
    fn insert(
        &mut self,
        before: Handle,
        new: New,
        hasher: &RandomState,
    ) -> Result<Option<Handle>, Error> {
        let Some(depth) = self.get(before).map(|block| block.depth + 1) else { return Ok(None) };
        // Another thread may have had the same text.
        if let Some(handle) = self.find(before, &new.window, hasher) {
            return Ok(Some(handle));
        }
        let hash = hasher.hash_one(beginning(&new.window));
        let New { window, length, ids } = new;
        let used = self.time;
        let block = Block { before, hash, window, length, ids, depth, used, latest: None };
        self.next.try_reserve(1)?;
        self.slots.try_reserve(1)?;
        let followers = self.next.entry((before, hash)).or_default();
        followers.try_reserve(1)?;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Slot { generation: 0, block: None });
                self.slots.len() - 1
            }
        };
        let Slot { generation, block: place } = always(self.slots.get_mut(slot), NO_BLOCK)?;
        let handle = Handle { slot, generation: *generation };
        followers.push(handle);
        self.info.bytes += block.size();
        self.info.blocks += 1;
        *place = Some(block);
        self.block_mut(before)?.latest = Some(handle);
        Ok(Some(handle))
    }

    /// Forgets what was not used for the longest time until no more than `limit` bytes are left. A block goes before
    /// the one before it does: that was used with it, or later.
    fn forget(&mut self, limit: usize) -> Result<(), Error> {
        let roots = [Kind::Text, Kind::Chat].len();
        let mut oldest = Vec::new();
        oldest.try_reserve_exact(self.info.blocks)?;
        self.free.try_reserve(self.info.blocks)?;
        for (number, slot) in self.slots.iter().enumerate().skip(roots) {
            if let Some(block) = &slot.block {
                oldest.push((block.used, Reverse(block.depth), number));
            }
        }
        oldest.sort_unstable();
        for (_, _, number) in oldest {
            if self.info.bytes <= limit {
                break;
            }
            let slot = always(self.slots.get_mut(number), NO_BLOCK)?;
            let handle = Handle { slot: number, generation: slot.generation };
            let block = always(slot.block.take(), NO_BLOCK)?;
            slot.generation += 1;
            self.free.push(number);
            self.info.bytes -= block.size();
            self.info.blocks -= 1;
            let key = (block.before, block.hash);
            if let Some(followers) = self.next.get_mut(&key) {
                followers.retain(|&other| other != handle);
                if followers.is_empty() {
                    self.next.remove(&key);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::reference::{go_on, sample_encoder};

    #[test]
    fn a_text_may_be_given_up_at_each_call_of_the_check() {
        let (encoder, options) = (sample_encoder(), Options::default());
        let text = "some words, and others\n".repeat(60_000);
        let source = TextSource { encoder, options: &options, text: text.as_bytes() };
        let mut expected = Vec::new();
        encoder.encode(text.as_bytes(), &options, &mut expected, &go_on).unwrap();
        let calls = Cell::new(0);
        let encode = |cache: &PrefixCache, most: usize| {
            let check = || {
                calls.set(calls.get() + 1);
                if calls.get() > most { Err(Error::Interrupted) } else { Ok(()) }
            };
            let mut ids = Vec::new();
            cache.encode(Kind::Text, &source, &mut ids, &check).map(|()| ids)
        };
        let cache = PrefixCache::new(1 << 30);
        assert_eq!(encode(&cache, usize::MAX).unwrap(), expected);
        let (all, blocks) = (calls.take(), cache.info().blocks);
        // One for each block, and one for many that are added at once.
        assert!(blocks > 2 * BLOCKS_AT_ONCE);
        assert!(all >= blocks + blocks / BLOCKS_AT_ONCE);
        for most in [0, 1, blocks / 2, all - 2, all - 1] {
            let cache = PrefixCache::new(1 << 30);
            assert!(matches!(encode(&cache, most), Err(Error::Interrupted)));
            calls.set(0);
            assert_eq!(encode(&cache, usize::MAX).unwrap(), expected, "{most}");
            assert_eq!(cache.info().blocks, blocks, "{most}");
            calls.set(0);
        }
    }
}
