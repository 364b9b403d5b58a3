//! Cutting text into pretokens by the Llama 3 pattern.

pub mod scalar;

pub use scalar::Pretokens;

/// The pattern, as Meta, tiktoken and `tokenizer.json` write it. It is compared with what a
/// `tokenizer.json` says and given to the reference encoder; no regex engine runs it in production.
pub const PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
