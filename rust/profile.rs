//! The releases of Llama 3: their special tokens and chat templates.
//!
//! All of them have the same ranks. The names of the special ids, which follow the ranks, differ, and so
//! do chat templates.
//!
//! All that the project knows of a release stands in `PROFILES`. `python/llama3_tok/profiles.py` has
//! the same table for Python.

use crate::error::Error;

/// A release of Llama 3: all that differs between releases and that the project knows of it. Its special
/// tokens have an index, which is their id less the number of ranks.
pub struct Profile {
    /// What `profile=` calls it.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// How the names of its models begin, in small letters. A longer beginning counts before a shorter
    /// one, whichever release it is of.
    pub models: &'static [&'static str],
    /// The names that are not `reserved_special_token_N`, each with its index. The reserved ones,
    /// numbered from 0, have the other indexes.
    named: &'static [(u32, &'static str)],
    /// How many special tokens there are.
    pub count: u32,
    /// The padding token, where there is one.
    pub pad: Option<u32>,
    /// The tokens that end generation.
    pub stops: &'static [u32],
    /// Whether a text for the model begins with BOS.
    pub adds_bos: bool,
    /// Whether a text for the model ends with EOS.
    pub adds_eos: bool,
    /// The format of conversations where the caller names none: `hf` or `meta`.
    pub dialect: &'static str,
    /// The chat template that was published with the release: what dialect `hf` writes.
    pub template: &'static Template,
    /// The chat template of a saved folder: it renders what the release's own dialect writes.
    pub saved_template: &'static Template,
    /// How many tokens a model's context has.
    pub context: u32,
    /// How the models' rotary frequencies are scaled; `None` if they are not.
    pub scaling: Option<&'static Scaling>,
    /// Whether the output layer of the models is the embedding.
    pub tied: bool,
}

/// Indexes that are the same in all profiles. Beginning of text.
pub const BOS: u32 = 0;
/// End of text.
pub const EOS: u32 = 1;
/// Before a message's role.
pub const START_HEADER: u32 = 6;
/// After a message's role.
pub const END_HEADER: u32 = 7;
/// End of a turn.
pub const EOT: u32 = 9;
/// In all profiles but `llama3`: end of a message, where the turn goes on.
pub const EOM: u32 = 8;
/// Before a call of a built-in tool.
pub const PYTHON_TAG: u32 = 10;
/// The name of the token for an image, where there is one.
pub const IMAGE: &str = "image";

/// The names of 3.1, which 3.2 text and 3.3 have, too.
const NAMED_3_1: &[(u32, &str)] = &[
    (BOS, "begin_of_text"),
    (EOS, "end_of_text"),
    (4, "finetune_right_pad_id"),
    (START_HEADER, "start_header_id"),
    (END_HEADER, "end_header_id"),
    (EOM, "eom_id"),
    (EOT, "eot_id"),
    (PYTHON_TAG, "python_tag"),
];

/// A chat template.
#[derive(Debug)]
pub struct Template {
    /// The file in `python/llama3_tok/chat/jinja/` that writes it, after what all templates have.
    pub body: &'static str,
    /// The SHA-256 of the published text without the line end after it, where it is known.
    pub published: Option<&'static str>,
    /// It has a place for tools, and a system message with dates even where none is given.
    pub tools: bool,
    /// It has a place for built-in tools, whose calls are code.
    pub builtin_tools: bool,
    /// It has a place for images, and the content of messages keeps its white space.
    pub images: bool,
}

/// Llama 3.
pub static LLAMA_3: Template = Template {
    body: "llama3.jinja",
    published: Some("4f46ecd43418f216df8c26936c60e5d04bcc81db47db5d86fbe889f64212dd4c"),
    tools: false,
    builtin_tools: false,
    images: false,
};
/// Llama 3.1 and 3.3.
pub static LLAMA_3_1: Template = Template {
    body: "tools.jinja",
    published: Some("93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7"),
    tools: true,
    builtin_tools: true,
    images: false,
};
/// Llama 3.2, the text models.
pub static LLAMA_3_2: Template = Template {
    body: "tools.jinja",
    published: Some("d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f"),
    tools: true,
    builtin_tools: false,
    images: false,
};
/// Llama 3.2, the vision models.
pub static LLAMA_3_2_VISION: Template = Template {
    body: "tools.jinja",
    published: None,
    tools: true,
    builtin_tools: false,
    images: true,
};
/// The format of Meta's class, which was never published as a template.
static META: Template = Template {
    body: "meta.jinja",
    published: None,
    tools: false,
    builtin_tools: false,
    images: true,
};

/// How rotary frequencies are scaled for a longer context than the model was first trained with.
#[derive(Debug)]
pub struct Scaling {
    /// By how much low frequencies are divided.
    pub factor: f64,
    /// Frequencies with fewer turns in the first context than this are low.
    pub low_freq_factor: f64,
    /// Frequencies with more turns in the first context than this are kept.
    pub high_freq_factor: f64,
    /// How many tokens the first context has.
    pub original_context: u32,
}

/// Llama 3.1 and later. Meta's own code has this factor for all models:
/// <https://github.com/meta-llama/llama-models/issues/166>.
static SCALED_BY_8: Scaling = Scaling {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_context: FIRST_CONTEXT,
};
/// The text models of Llama 3.2, as their published `config.json` has it.
static SCALED_BY_32: Scaling = Scaling { factor: 32.0, ..SCALED_BY_8 };

/// The context of Llama 3.
const FIRST_CONTEXT: u32 = 8192;

/// Llama 3.1, and what later releases have as well where they say nothing else.
const SINCE_3_1: Profile = Profile {
    name: "llama3.1",
    title: "Llama 3.1",
    models: &["llama-3.1-"],
    named: NAMED_3_1,
    count: 256,
    pad: Some(4),
    stops: &[EOS, EOM, EOT],
    adds_bos: true,
    adds_eos: false,
    dialect: "hf",
    template: &LLAMA_3_1,
    saved_template: &LLAMA_3_1,
    context: 131_072,
    scaling: Some(&SCALED_BY_8),
    tied: false,
};

/// The profiles, as Meta's and Hugging Face's releases have them. What is the same in several releases
/// tells the first of them. A new release is one more entry.
pub static PROFILES: [Profile; 6] = [
    Profile {
        name: "llama3",
        title: "Llama 3",
        models: &["llama-3-"],
        named: &[
            (BOS, "begin_of_text"),
            (EOS, "end_of_text"),
            (START_HEADER, "start_header_id"),
            (END_HEADER, "end_header_id"),
            (EOT, "eot_id"),
        ],
        pad: None,
        stops: &[EOS, EOT],
        template: &LLAMA_3,
        saved_template: &LLAMA_3,
        context: FIRST_CONTEXT,
        scaling: None,
        ..SINCE_3_1
    },
    SINCE_3_1,
    Profile {
        name: "llama3.2",
        title: "Llama 3.2",
        models: &["llama-3.2-"],
        template: &LLAMA_3_2,
        saved_template: &LLAMA_3_2,
        scaling: Some(&SCALED_BY_32),
        tied: true,
        ..SINCE_3_1
    },
    Profile {
        name: "llama3.2-vision",
        title: "Llama 3.2 Vision",
        models: &["llama-3.2-11b-vision", "llama-3.2-90b-vision"],
        named: &[
            (BOS, "begin_of_text"),
            (EOS, "end_of_text"),
            (4, "finetune_right_pad_id"),
            (5, "step_id"),
            (START_HEADER, "start_header_id"),
            (END_HEADER, "end_header_id"),
            (EOM, "eom_id"),
            (EOT, "eot_id"),
            (PYTHON_TAG, "python_tag"),
            (256, IMAGE),
        ],
        count: 257,
        template: &LLAMA_3_2_VISION,
        saved_template: &LLAMA_3_2_VISION,
        ..SINCE_3_1
    },
    Profile { name: "llama3.3", title: "Llama 3.3", models: &["llama-3.3-"], ..SINCE_3_1 },
    Profile {
        name: "meta",
        title: "llama-models",
        models: &[],
        named: &[
            (BOS, "begin_of_text"),
            (EOS, "end_of_text"),
            (4, "finetune_right_pad_id"),
            (5, "step_id"),
            (START_HEADER, "start_header_id"),
            (END_HEADER, "end_header_id"),
            (EOM, "eom_id"),
            (EOT, "eot_id"),
            (PYTHON_TAG, "python_tag"),
            (11, IMAGE),
        ],
        dialect: "meta",
        saved_template: &META,
        ..SINCE_3_1
    },
];

/// The ids with a role, in a release or a folder.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// What a text begins with.
    pub bos: Option<u32>,
    /// What a text ends with.
    pub eos: Option<u32>,
    /// What ends a turn.
    pub eot: Option<u32>,
    /// What fills a batch.
    pub pad: Option<u32>,
    /// What ends generation, ascending.
    pub stops: Vec<u32>,
}

impl Roles {
    /// The beginning-of-text token; an error if there is none.
    pub fn bos(&self) -> Result<u32, Error> {
        self.bos.ok_or(Error::NoToken("bos"))
    }

    /// The end-of-text token; an error if there is none.
    pub fn eos(&self) -> Result<u32, Error> {
        self.eos.ok_or(Error::NoToken("eos"))
    }
}

impl Profile {
    /// The ids with a role, if those of special tokens begin at `first`.
    pub fn roles(&self, first: u32) -> Roles {
        Roles {
            bos: Some(first + BOS),
            eos: Some(first + EOS),
            eot: Some(first + EOT),
            pad: self.pad.map(|index| first + index),
            stops: self.stops.iter().map(|index| first + index).collect(),
        }
    }

    /// The profile that is called `name`.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        let found = PROFILES.iter().find(|profile| profile.name == name);
        found
            .ok_or_else(|| Error::UnknownProfile { given: name.to_owned(), known: profile_names() })
    }

    /// The index of the token for an image.
    pub fn image(&self) -> Option<u32> {
        self.named.iter().find(|(_, name)| *name == IMAGE).map(|(index, _)| *index)
    }

    /// The special tokens' names, in the order of their ids.
    pub fn special_names(&self) -> Vec<String> {
        let mut reserved = 0;
        let name = |index| match self.named.iter().find(|(named, _)| *named == index) {
            Some((_, name)) => format!("<|{name}|>"),
            None => {
                reserved += 1;
                format!("<|reserved_special_token_{}|>", reserved - 1)
            }
        };
        (0..self.count).map(name).collect()
    }
}

/// The profiles' names in one line, for messages.
pub fn profile_names() -> String {
    PROFILES.iter().map(|profile| profile.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::added::AddedTokens;

    #[test]
    fn names_have_the_form_that_the_search_relies_on() {
        for profile in &PROFILES {
            let names = profile.special_names();
            assert_eq!(names.len(), profile.count as usize);
            for name in &names {
                let inner = name.strip_prefix("<|").unwrap().strip_suffix("|>").unwrap();
                assert!(!inner.is_empty() && !inner.contains(['|', '<', '>']), "{name}");
            }
            let mut distinct = names.clone();
            distinct.sort();
            distinct.dedup();
            assert_eq!(distinct.len(), names.len());
        }
    }

    #[test]
    fn no_two_entries_say_the_same() {
        for (index, profile) in PROFILES.iter().enumerate() {
            for other in &PROFILES[..index] {
                assert_ne!(profile.name, other.name);
                assert_ne!(profile.title, other.title);
                assert!(profile.models.iter().all(|name| !other.models.contains(name)));
            }
            // A scaled context is longer than the one before.
            let before = profile.scaling.map_or(profile.context - 1, |by| by.original_context);
            assert!(profile.context > before, "{}", profile.name);
        }
    }

    #[test]
    fn llama_3_3_is_3_1_under_its_own_name() {
        let [of_3_1, of_3_3] = ["llama3.1", "llama3.3"].map(|name| Profile::find(name).unwrap());
        assert_eq!(of_3_1.special_names(), of_3_3.special_names());
        assert_eq!((of_3_1.pad, of_3_1.stops), (of_3_3.pad, of_3_3.stops));
        assert!(std::ptr::eq(of_3_1.template, of_3_3.template));
        assert!(std::ptr::eq(of_3_1.saved_template, of_3_3.saved_template));
    }

    #[test]
    fn profiles_name_the_ids_as_their_releases_do() {
        let added =
            |profile| AddedTokens::of_release(Profile::find(profile).unwrap(), 128_000).unwrap();
        let name = |profile, id| added(profile).get(id).map(|token| token.name.clone());
        let reserved = |n| Some(format!("<|reserved_special_token_{n}|>"));
        for (profile, index_4, index_11, last) in [
            ("llama3", reserved(2), reserved(6), reserved(250)),
            ("llama3.1", Some("<|finetune_right_pad_id|>".into()), reserved(3), reserved(247)),
            ("llama3.2", Some("<|finetune_right_pad_id|>".into()), reserved(3), reserved(247)),
            ("llama3.3", Some("<|finetune_right_pad_id|>".into()), reserved(3), reserved(247)),
            (
                "llama3.2-vision",
                Some("<|finetune_right_pad_id|>".into()),
                reserved(2),
                reserved(246),
            ),
            (
                "meta",
                Some("<|finetune_right_pad_id|>".into()),
                Some("<|image|>".into()),
                reserved(245),
            ),
        ] {
            assert_eq!(name(profile, 128_004), index_4);
            assert_eq!(name(profile, 128_009).unwrap(), "<|eot_id|>");
            assert_eq!(name(profile, 128_011), index_11);
            assert_eq!(name(profile, 128_255), last);
        }
        assert_eq!(name("llama3.2-vision", 128_256).unwrap(), "<|image|>");
        assert_eq!(name("llama3.1", 128_256), None);
        assert_eq!(name("llama3.1", 127_999), None);
    }
}
