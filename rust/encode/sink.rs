//! Sinks, which take the ids of a text: as a list, as a count, or in another way.

use std::ops::Range;

use crate::error::Error;

/// Takes the tokens of a text, from left to right.
pub trait Sink {
    /// Takes the next ids of plain text.
    fn take(&mut self, ids: &[u32]) -> Result<(), Error>;

    /// Takes the first `count` of some ids; the others mean nothing.
    #[inline(always)]
    fn take_first<const MAX_IDS: usize>(
        &mut self,
        ids: &[u32; MAX_IDS],
        count: usize,
    ) -> Result<(), Error> {
        self.take(ids.get(..count).ok_or_else(too_many)?)
    }

    /// Takes an added token, which is the bytes `range` of the text; empty for BOS and EOS.
    fn take_added(&mut self, _range: Range<usize>, id: u32) -> Result<(), Error> {
        self.take(&[id])
    }
}

#[cold]
fn too_many() -> Error {
    Error::Internal("a sink was given more ids than there are")
}

#[cold]
fn no_room() -> Error {
    debug_assert!(false, "{NO_ROOM}");
    Error::Internal(NO_ROOM)
}

const NO_ROOM: &str = "a list has no room for the ids that room was made for";

/// The ids.
impl Sink for Vec<u32> {
    #[inline]
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.try_reserve(ids.len())?;
        self.extend_from_slice(ids);
        Ok(())
    }

    /// All are written at once, and then the length grows by `count`: a branch on the count would be
    /// mispredicted most of the time.
    #[inline(always)]
    fn take_first<const MAX_IDS: usize>(
        &mut self,
        ids: &[u32; MAX_IDS],
        count: usize,
    ) -> Result<(), Error> {
        if count > MAX_IDS {
            return Err(too_many());
        }
        if self.capacity() - self.len() < MAX_IDS {
            self.try_reserve(MAX_IDS)?;
        }
        let Some(target) = self.spare_capacity_mut().first_chunk_mut::<MAX_IDS>() else {
            return Err(no_room());
        };
        *target = ids.map(std::mem::MaybeUninit::new);
        #[expect(unsafe_code, reason = "safe ways write the ids twice, or branch on their number")]
        // SAFETY: `count` ids after the end are initialized: MAX_IDS were just written, and `count` is
        // not more.
        unsafe {
            self.set_len(self.len() + count);
        }
        Ok(())
    }
}

/// How many ids there would be.
#[derive(Default)]
pub struct Count(pub usize);

impl Sink for Count {
    #[inline]
    fn take(&mut self, ids: &[u32]) -> Result<(), Error> {
        self.0 += ids.len();
        Ok(())
    }

    #[inline(always)]
    fn take_first<const MAX_IDS: usize>(
        &mut self,
        _: &[u32; MAX_IDS],
        count: usize,
    ) -> Result<(), Error> {
        self.0 += count;
        Ok(())
    }
}
