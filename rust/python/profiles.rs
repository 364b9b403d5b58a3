//! The table of releases, as `python/llama3_tok/profiles.py` takes it.

use pyo3::prelude::*;

use super::raise::raise;
use crate::profile::{BOS, EOS, EOT, Profile, Scaling, Template};

/// A release: a dictionary of these names. Tokens are given by their index among the special ones.
#[derive(IntoPyObject)]
pub(super) struct Release {
    name: &'static str,
    title: &'static str,
    models: Vec<&'static str>,
    special_names: Vec<String>,
    bos: u32,
    eos: u32,
    eot: u32,
    pad: Option<u32>,
    stops: Vec<u32>,
    adds_bos: bool,
    adds_eos: bool,
    dialect: &'static str,
    template: ChatTemplate,
    saved_template: ChatTemplate,
    context: u32,
    scaling: Option<RopeScaling>,
    tied: bool,
}

/// A chat template of a release.
#[derive(IntoPyObject)]
struct ChatTemplate {
    body: &'static str,
    published: Option<&'static str>,
    tools: bool,
    builtin_tools: bool,
    images: bool,
}

/// How the rotary frequencies of a release's models are scaled.
#[derive(IntoPyObject)]
struct RopeScaling {
    factor: f64,
    low_freq_factor: f64,
    high_freq_factor: f64,
    original_context: u32,
}

/// What the table says of a release.
#[pyfunction]
pub(super) fn profile(py: Python, name: &str) -> PyResult<Release> {
    Profile::find(name).map(Release::from).map_err(|error| raise(py, error))
}

impl From<&Profile> for Release {
    fn from(profile: &Profile) -> Self {
        Self {
            name: profile.name,
            title: profile.title,
            models: profile.models.to_vec(),
            special_names: profile.special_names(),
            bos: BOS,
            eos: EOS,
            eot: EOT,
            pad: profile.pad,
            stops: profile.stops.to_vec(),
            adds_bos: profile.adds_bos,
            adds_eos: profile.adds_eos,
            dialect: profile.dialect,
            template: profile.template.into(),
            saved_template: profile.saved_template.into(),
            context: profile.context,
            scaling: profile.scaling.map(RopeScaling::from),
            tied: profile.tied,
        }
    }
}

impl From<&Template> for ChatTemplate {
    fn from(template: &Template) -> Self {
        let &Template { body, published, tools, builtin_tools, images } = template;
        Self { body, published, tools, builtin_tools, images }
    }
}

impl From<&Scaling> for RopeScaling {
    fn from(scaling: &Scaling) -> Self {
        let &Scaling { factor, low_freq_factor, high_freq_factor, original_context } = scaling;
        Self { factor, low_freq_factor, high_freq_factor, original_context }
    }
}
