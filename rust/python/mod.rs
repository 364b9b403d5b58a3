//! The binding to Python, and the only folder that names pyo3. Each function converts its arguments, detaches
//! from the interpreter, calls the core and converts the result. What is allowed is decided in Python.
//!
//! Here is what the module `_core` has. The class `Tokenizer` calls the methods of `Core`, which are in files of
//! their own:
//!
//! ```text
//! core       the struct
//! methods    its methods, as Python calls them
//! options    BOS, EOS and special tokens, as Python gives them
//! encode     with_ids, counted: one text; encode_groups, encode_all, counts: many
//! decode     ids to bytes, and to text
//! convert    text and ids from Python, arrays and lists to it
//! detach     work without the interpreter, and Ctrl-C
//! raise      the core's errors as exceptions
//! ```

mod chat;
mod chats;
mod chunks;
mod columns;
mod convert;
mod core;
mod decode;
mod detach;
mod encode;
mod file_chunks;
mod files;
mod incremental;
mod methods;
mod options;
mod primitives;
mod profiles;
mod raise;
mod records;
mod spans;
mod stream_decoder;
mod system;
mod vocabulary;
mod write;

use pyo3::prelude::*;

use self::core::Core;
use self::options::PythonOptions;
use self::stream_decoder::StreamDecoder;
use self::vocabulary::{Content, Ranks};
use crate::profile::PROFILES;
use crate::text::pretokenize::PATTERN;
use crate::text::unicode::UNICODE_VERSION;
use crate::vocabulary::content::META_SHA256;

#[pymodule]
fn _core(module: &Bound<PyModule>) -> PyResult<()> {
    module.add_class::<Core>()?;
    module.add_class::<Content>()?;
    module.add_class::<Ranks>()?;
    module.add_class::<PythonOptions>()?;
    chat::add(module)?;
    module.add_function(wrap_pyfunction!(chats::encode_chats, module)?)?;
    module.add_class::<StreamDecoder>()?;
    module.add_class::<incremental::IncrementalEncoder>()?;
    module.add_class::<incremental::PrefixCache>()?;
    module.add_class::<chunks::Splitter>()?;
    module.add_class::<chunks::TokenIndex>()?;
    system::add(module)?;
    module.add_function(wrap_pyfunction!(primitives::last_pretoken, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::pretoken_ends, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::pretoken_cuts, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::merge_steps, module)?)?;
    module.add_function(wrap_pyfunction!(profiles::profile, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::tokens, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::listed, module)?)?;
    module.add_function(wrap_pyfunction!(primitives::merge_batch, module)?)?;
    module.add_class::<file_chunks::FileChunks>()?;
    module.add_function(wrap_pyfunction!(file_chunks::record_text, module)?)?;
    module.add_class::<records::UnpackedFile>()?;
    module.add_function(wrap_pyfunction!(records::jsonl_column, module)?)?;
    module.add_function(wrap_pyfunction!(records::last_cut, module)?)?;
    module.add_function(wrap_pyfunction!(records::count_newlines, module)?)?;
    module.add_function(wrap_pyfunction!(records::digests, module)?)?;
    module.add_function(wrap_pyfunction!(write::rank_file, module)?)?;
    module.add_function(wrap_pyfunction!(write::written_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(write::written_merges, module)?)?;
    module.add("PROFILES", PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>())?;
    module.add("PATTERN", PATTERN)?;
    module.add("META_SHA256", META_SHA256)?;
    module.add("UNICODE_VERSION", UNICODE_VERSION)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
