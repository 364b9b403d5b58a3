//! What a caller asks for besides the text: BOS, EOS, and which special tokens a text may have.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::core::Core;
use super::raise::raise;
use crate::added::Selection;
use crate::encode::options::Options;

/// Names of special tokens, not yet looked up: that needs a vocabulary.
enum Names {
    None,
    All,
    Some(Vec<String>),
}

impl Names {
    /// `None`, `"all"` or a list of names.
    fn of(value: Option<&Bound<PyAny>>) -> PyResult<Self> {
        let Some(value) = value else { return Ok(Self::None) };
        if value.is_instance_of::<PyString>() {
            return match value.extract::<&str>()? {
                "all" => Ok(Self::All),
                _ => Err(PyTypeError::new_err("special tokens must be \"all\" or a list of names")),
            };
        }
        Ok(Self::Some(value.cast::<PyList>()?.extract()?))
    }

    fn selection(&self, py: Python, core: &Core) -> PyResult<Selection> {
        match self {
            Self::None => Ok(Selection::None),
            Self::All => Ok(Selection::All),
            Self::Some(names) => {
                let (added, profile) = (&core.encoder.added, core.encoder.profile());
                added.select(names, profile).map_err(|error| raise(py, error))
            }
        }
    }
}

/// The options of calls that make or count ids: `Options` in Python. Made once, they may be used with any core.
#[pyclass(frozen, module = "llama3_tok._core", name = "Options")]
pub(super) struct PythonOptions {
    #[pyo3(get)]
    bos: bool,
    #[pyo3(get)]
    eos: bool,
    allowed: Names,
    disallowed: Names,
}

#[pymethods]
impl PythonOptions {
    /// `allowed` and `disallowed` are `None`, `"all"` or a list of names of special tokens.
    #[new]
    #[pyo3(signature = (bos, eos, allowed=None, disallowed=None))]
    fn new(
        bos: bool,
        eos: bool,
        allowed: Option<&Bound<PyAny>>,
        disallowed: Option<&Bound<PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self { bos, eos, allowed: Names::of(allowed)?, disallowed: Names::of(disallowed)? })
    }

    /// Whether a special token of this name is one where it stands in a text.
    fn allows(&self, name: &str) -> bool {
        match &self.allowed {
            Names::None => false,
            Names::All => true,
            Names::Some(names) => names.iter().any(|allowed| allowed == name),
        }
    }
}

/// Options as Python gives them; `None` for a text alone.
pub(super) type GivenOptions<'a, 'py> = Option<&'a Bound<'py, PythonOptions>>;

impl Core {
    /// The options with the names looked up.
    pub(super) fn options(&self, given: GivenOptions) -> PyResult<Options> {
        let Some(given) = given else { return Ok(Options::default()) };
        let (py, given) = (given.py(), given.get());
        let allowed = given.allowed.selection(py, self)?;
        let disallowed = match given.disallowed.selection(py, self)? {
            Selection::All => self.encoder.added.complement(&allowed),
            selection => selection,
        };
        Ok(Options { bos: given.bos, eos: given.eos, allowed, disallowed })
    }
}
