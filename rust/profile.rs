//! The releases of Llama 3: their special tokens and chat templates.
//!
//! All of them have the same ranks. The names of the special ids, which follow the ranks, differ.

use crate::error::Error;

/// A release of Llama 3. Its special tokens have an index, which is their id less the number of ranks.
pub struct Profile {
    /// What `profile=` calls it.
    pub name: &'static str,
    /// The names that are not `reserved_special_token_N`, each with its index. The reserved ones,
    /// numbered from 0, have the other indexes.
    named: &'static [(u32, &'static str)],
    /// How many special tokens there are.
    pub count: u32,
    /// The padding token, where there is one.
    pub pad: Option<u32>,
    /// The tokens that end generation.
    pub stops: &'static [u32],
    /// The chat template that was published with the release.
    pub template: &'static Template,
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

/// What the chat template of a release supports.
#[derive(Debug)]
pub struct Template {
    /// Tools, their calls and results, and a system message with dates even where none is given.
    pub tools: bool,
    /// Built-in tools, whose calls are code.
    pub builtin_tools: bool,
    /// Images; the content of messages keeps its white space.
    pub images: bool,
}

/// Llama 3.
pub static LLAMA_3: Template = Template { tools: false, builtin_tools: false, images: false };
/// Llama 3.1 and 3.3.
pub static LLAMA_3_1: Template = Template { tools: true, builtin_tools: true, images: false };
/// Llama 3.2, the text models.
pub static LLAMA_3_2: Template = Template { tools: true, builtin_tools: false, images: false };
/// Llama 3.2, the vision models.
pub static LLAMA_3_2_VISION: Template =
    Template { tools: true, builtin_tools: false, images: true };

/// The profiles, as Meta's and Hugging Face's releases have them.
pub static PROFILES: [Profile; 5] = [
    Profile {
        name: "llama3",
        named: &[
            (BOS, "begin_of_text"),
            (EOS, "end_of_text"),
            (START_HEADER, "start_header_id"),
            (END_HEADER, "end_header_id"),
            (EOT, "eot_id"),
        ],
        count: 256,
        pad: None,
        stops: &[EOS, EOT],
        template: &LLAMA_3,
    },
    Profile {
        name: "llama3.1",
        named: NAMED_3_1,
        count: 256,
        pad: Some(4),
        stops: &[EOS, EOM, EOT],
        template: &LLAMA_3_1,
    },
    Profile {
        name: "llama3.2",
        named: NAMED_3_1,
        count: 256,
        pad: Some(4),
        stops: &[EOS, EOM, EOT],
        template: &LLAMA_3_2,
    },
    Profile {
        name: "llama3.2-vision",
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
        pad: Some(4),
        stops: &[EOS, EOM, EOT],
        template: &LLAMA_3_2_VISION,
    },
    Profile {
        name: "meta",
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
        count: 256,
        pad: Some(4),
        stops: &[EOS, EOM, EOT],
        template: &LLAMA_3_1,
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
        let mut reserved = 0..;
        (0..self.count)
            .filter_map(|index| match self.named.iter().find(|(named, _)| *named == index) {
                Some((_, name)) => Some(format!("<|{name}|>")),
                None => Some(format!("<|reserved_special_token_{}|>", reserved.next()?)),
            })
            .collect()
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
    fn profiles_name_the_ids_as_their_releases_do() {
        let added =
            |profile| AddedTokens::of_release(Profile::find(profile).unwrap(), 128_000).unwrap();
        let name = |profile, id| added(profile).get(id).map(|token| token.name.clone());
        let reserved = |n| Some(format!("<|reserved_special_token_{n}|>"));
        for (profile, index_4, index_11, last) in [
            ("llama3", reserved(2), reserved(6), reserved(250)),
            ("llama3.1", Some("<|finetune_right_pad_id|>".into()), reserved(3), reserved(247)),
            ("llama3.2", Some("<|finetune_right_pad_id|>".into()), reserved(3), reserved(247)),
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
