//! How large a packed file may be when it is unpacked.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// From so many unpacked bytes on the ratio counts: short files of one character pack better than any text.
const RATIO_FROM_BYTES: u64 = 64 << 20;

/// How much a packed file may be when it is unpacked. More is an error: a few hundred kilobytes can hold
/// gigabytes of zeros.
#[derive(Clone, Copy)]
pub struct PackedLimits {
    /// In bytes.
    pub max_bytes: Option<u64>,
    /// As a multiple of what is stored.
    pub max_ratio: Option<u64>,
}

impl Default for PackedLimits {
    /// A thousand times as much as is stored.
    fn default() -> Self {
        Self { max_bytes: None, max_ratio: Some(1000) }
    }
}

impl PackedLimits {
    fn check(self, stored: u64, unpacked: u64) -> Result<(), String> {
        if let Some(max) = self.max_bytes.filter(|&max| unpacked > max) {
            return Err(format!(
                "it has more than {max} bytes when it is unpacked; max_bytes allows more"
            ));
        }
        let most = |max: u64| stored.saturating_mul(max).max(RATIO_FROM_BYTES);
        match self.max_ratio.filter(|&max| unpacked > most(max)) {
            Some(max) => Err(format!(
                "it has more than {max} times as many bytes when it is unpacked, {unpacked} so far; max_ratio \
                 allows more"
            )),
            None => Ok(()),
        }
    }
}

/// What a packed file unpacks to, within limits.
pub struct Limited<R> {
    inner: R,
    limits: PackedLimits,
    /// Bytes read of the file so far.
    stored: Arc<AtomicU64>,
    /// What they unpack to.
    unpacked: u64,
}

impl<R> Limited<R> {
    /// `stored` is counted by what reads the file.
    pub fn new(inner: R, limits: PackedLimits, stored: Arc<AtomicU64>) -> Self {
        Self { inner, limits, stored, unpacked: 0 }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked += count as u64;
        let stored = self.stored.load(Ordering::Relaxed);
        self.limits.check(stored, self.unpacked).map_err(std::io::Error::other)?;
        Ok(count)
    }
}
