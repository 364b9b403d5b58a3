//! A vocabulary file, and the added tokens of a folder.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use super::convert::{ask_for_objects, bytes_object};
use super::core::Core;
use super::detach::detached;
use crate::added::AddedToken;
use crate::encode::Encoder;
use crate::error::Error;
use crate::profile::{Profile, Roles};
use crate::vocabulary::Vocabulary;
use crate::vocabulary::byte_level::Alphabet;
use crate::vocabulary::content;

/// The content of a vocabulary file, with its SHA-256.
#[pyclass(frozen, module = "llama3_tok._core")]
pub(super) struct Content(content::Content<PyBackedBytes>);

#[pymethods]
impl Content {
    #[new]
    fn new(py: Python, data: PyBackedBytes) -> Self {
        Self(py.detach(|| content::Content::new(data)))
    }

    /// In hexadecimal.
    #[getter]
    fn sha256(&self) -> &str {
        self.0.sha256()
    }
}

/// A vocabulary that was read from a file. Several cores share it.
#[pyclass(frozen, weakref, module = "llama3_tok._core")]
pub(super) struct Ranks {
    pub(super) vocabulary: Arc<Vocabulary>,
}

/// An added token: Python's `AddedToken` on the way in, a dictionary with its fields on the way out.
#[derive(FromPyObject, IntoPyObject)]
pub(super) struct GivenToken {
    id: u32,
    content: String,
    special: bool,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
}

/// The same for Python's `Roles`.
#[derive(FromPyObject, IntoPyObject)]
pub(super) struct GivenRoles {
    bos: Option<u32>,
    eos: Option<u32>,
    eot: Option<u32>,
    pad: Option<u32>,
    stops: Vec<u32>,
}

#[pymethods]
impl Ranks {
    /// Reads a file; `file` is its name for messages.
    #[new]
    fn new(py: Python, content: &Content, file: &str) -> PyResult<Self> {
        let vocabulary =
            detached(py, None, |check, _| Vocabulary::parse_with(&content.0, file, check))?;
        Ok(Self { vocabulary: Arc::new(vocabulary) })
    }

    /// How many tokens it has, added tokens not counted.
    #[getter]
    fn size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The added tokens of the file, perhaps none; `None` if it does not say which there are.
    #[getter]
    fn added(&self, py: Python) -> PyResult<Option<Vec<GivenToken>>> {
        let Some(added) = self.vocabulary.added() else { return Ok(None) };
        ask_for_objects(py, added.len())?;
        Ok(Some(added.iter().map(given).collect()))
    }

    /// What a `tokenizer.json` puts around texts, as JSON; `None` if it has nothing of the kind.
    #[getter]
    fn post_processor(&self) -> Option<&str> {
        self.vocabulary.post_processor()
    }

    /// The first id whose token is another one in another vocabulary; `None` if all are the same.
    fn differs_from(&self, other: &Self) -> Option<u32> {
        self.vocabulary.differs_from(&other.vocabulary)
    }

    /// The bytes of a token; `None` if there is none with the id.
    fn token<'py>(&self, py: Python<'py>, id: u32) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.vocabulary.token(id).map(|token| bytes_object(py, token)).transpose()
    }

    /// The id of the token that a `tokenizer.json` writes as `token`; `None` if there is none.
    fn id_written(&self, token: &str) -> Option<u32> {
        self.vocabulary.id_written(token, &Alphabet::new())
    }

    /// The id of the token with these bytes; `None` if there is none.
    fn id(&self, token: &[u8]) -> Option<u32> {
        self.vocabulary.id(token)
    }

    /// The vocabulary of a core.
    #[staticmethod]
    fn of(core: &Core) -> Self {
        Self { vocabulary: Arc::clone(&core.encoder.vocabulary) }
    }
}

pub(super) fn given(token: &AddedToken) -> GivenToken {
    let AddedToken { id, name: content, special, single_word, lstrip, rstrip, normalized } =
        token.clone();
    GivenToken { id, content, special, single_word, lstrip, rstrip, normalized }
}

pub(super) fn given_roles(roles: &Roles) -> GivenRoles {
    let Roles { bos, eos, eot, pad, stops } = roles.clone();
    GivenRoles { bos, eos, eot, pad, stops }
}

pub(super) fn core(
    vocabulary: &Arc<Vocabulary>,
    file: &str,
    tokens: Vec<GivenToken>,
    GivenRoles { bos, eos, eot, pad, stops }: GivenRoles,
    release: Option<&str>,
) -> Result<Core, Error> {
    let token = |given| {
        let GivenToken { id, content: name, special, single_word, lstrip, rstrip, normalized } =
            given;
        AddedToken { id, name, special, single_word, lstrip, rstrip, normalized }
    };
    let tokens = tokens.into_iter().map(token).collect();
    let roles = Roles { bos, eos, eot, pad, stops };
    let release = release.map(Profile::find).transpose()?;
    let encoder = Encoder::with_added(Arc::clone(vocabulary), file, tokens, roles, release)?;
    Ok(Core { encoder: Arc::new(encoder) })
}
