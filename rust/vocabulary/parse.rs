//! Reading a vocabulary file, whose format is told by its content.

use crate::bpe::pairs::Pairs;
use crate::error::{Check, Error};
use crate::vocabulary::content::Content;
use crate::vocabulary::{Fault, Vocabulary, json, ranks};

impl Vocabulary {
    /// Reads a vocabulary file; `file` is its name for messages. The format is told by content. The
    /// merges of Meta's own file need not be computed.
    pub fn parse(content: &Content<impl AsRef<[u8]>>, file: &str) -> Result<Self, Error> {
        Self::parse_with(content, file, &|| Ok(()))
    }

    /// The same, which an error of `check` ends.
    pub fn parse_with(
        content: &Content<impl AsRef<[u8]>>,
        file: &str,
        check: &Check,
    ) -> Result<Self, Error> {
        Self::read(content, check).map_err(|fault| match fault {
            Fault::File(line, reason) => Error::Vocabulary { file: file.to_owned(), line, reason },
            Fault::Core(error) => error,
        })
    }

    fn read(content: &Content<impl AsRef<[u8]>>, check: &Check) -> Result<Self, Fault> {
        let data = content.bytes();
        if let Some(reason) = other_format(data) {
            return Err(Fault::without_line(reason));
        }
        if data.trim_ascii_start().starts_with(b"{") {
            return json::read(data, check);
        }
        let (tokens, lines) = ranks::read(data)?;
        let is_meta = content.is_meta();
        let pairs = |table: &_| if is_meta { Pairs::of_meta() } else { Pairs::build(table, check) };
        Self::build(tokens, pairs, |id| match &lines {
            // For a message only, which may lack the line.
            Some(lines) => lines.get(id as usize).copied(),
            None => Some(id as usize + 1),
        })
    }
}

/// What a file is that is mistaken for a vocabulary, told by how it begins; `None` if it may be a vocabulary.
pub fn other_format(data: &[u8]) -> Option<String> {
    // A shorter file is taken whole.
    let head = data.get(..1024).unwrap_or(data);
    let start = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    let reason = if data.is_empty() {
        "the file is empty; fetch it again"
    } else if head.starts_with(b"version https://git-lfs.github.com/spec/") {
        "this is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository"
    } else if start.starts_with(b"<") {
        "this is an HTML page or other XML, such as a login page, not a vocabulary; the download \
         needs access to the model, so log in and fetch the file again"
    } else if head.starts_with(b"\xEF\xBB\xBF") {
        "the file begins with a byte order mark, so an editor has changed it; fetch it again"
    } else if head.starts_with(b"\n") && memchr::memmem::find(head, b"<unk>").is_some() {
        "this is a SentencePiece model, as Llama 2 has; Llama 3's vocabulary is a rank file, also \
         named tokenizer.model, or a tokenizer.json"
    } else if head.starts_with(b"GGUF") {
        "this is a GGUF model; `llama3-tok convert FILE tokenizer.model` makes a rank file of it"
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"\x1f\x8b") {
        "this is a compressed archive; unpack it first"
    } else if memchr::memchr(0, head).is_some() {
        "this is a binary file, neither a rank file nor a tokenizer.json"
    } else {
        return None;
    };
    Some(reason.to_owned())
}
