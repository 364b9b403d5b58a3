//! Whole texts in one call: for callers in Rust that neither stop long work nor choose a sink.

use crate::encode::Encoder;
use crate::encode::options::Options;
use crate::error::Error;

impl Encoder {
    /// The ids of a text, a large one on all processors: [`Encoder::encode_parallel`] without a check.
    pub fn ids(&self, text: impl AsRef<[u8]>, options: &Options) -> Result<Vec<u32>, Error> {
        self.encode_parallel(text.as_ref(), options, &|| Ok(()))
    }

    /// How many ids a text has: [`Encoder::count_parallel`] without a check.
    pub fn count_of(&self, text: impl AsRef<[u8]>, options: &Options) -> Result<usize, Error> {
        self.count_parallel(text.as_ref(), options, &|| Ok(()))
    }

    /// The text of `ids`, special tokens as their names. Bytes that are not UTF-8 become U+FFFD;
    /// [`Encoder::decode`] gives the bytes.
    pub fn text(&self, ids: &[u32]) -> Result<String, Error> {
        let bytes = self.decode(ids, false, &|| Ok(()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
