//! What a vocabulary file contains, with its SHA-256: is it Meta's own file?

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The SHA-256 of the rank file that Meta publishes with every Llama 3 model.
pub const META_SHA256: &str = "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55";

/// The bytes of a vocabulary file, and the SHA-256 of these very bytes.
///
/// Nobody else says whether a file is Meta's: a caller that is wrong would give another file the merges of
/// Meta's, and so wrong ids.
pub struct Content<D> {
    bytes: D,
    sha256: String,
}

impl<D: AsRef<[u8]>> Content<D> {
    /// Computes the SHA-256.
    pub fn new(bytes: D) -> Self {
        let digest = Sha256::digest(bytes.as_ref());
        let mut sha256 = String::new();
        for byte in digest {
            // Writing to a string does not fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        Self { bytes, sha256 }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The SHA-256, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Whether the file is Meta's own rank file, byte for byte.
    pub fn is_meta(&self) -> bool {
        self.sha256 == META_SHA256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-4, and a length that is not a whole number of blocks.
    #[test]
    fn the_digest_is_sha256() {
        let sha256 = |bytes: &[u8]| Content::new(bytes).sha256().to_owned();
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256(&[b'a'; 1_000_000]), million);
        assert!(!Content::new(b"abc").is_meta());
    }
}
