//! Many conversations at once, on all threads.

use crate::chat::conversation::{Chat, ContentPart};
use crate::chat::script::{Encoded, Script, ShortRuns};
use crate::encode::Encoder;
use crate::encode::groups::map_groups;
use crate::error::{Check, Error};
use crate::profile::Profile;

/// The ids of several conversations, end to end.
#[derive(Default)]
pub struct EncodedChats {
    /// The ids of all, and the mask if it is asked for. The ends are those of each conversation in turn, and
    /// after them its own end.
    pub all: Encoded,
    /// Where the ids of each conversation begin, and where those of the last one end.
    pub offsets: Vec<usize>,
    /// The conversations that their format can't hold, which have no ids and no ends.
    pub errors: Vec<(usize, Error)>,
}

/// Encodes conversations on up to `threads` threads. One that can't be written is an error of its own, and `None`
/// has no ids.
pub fn encode_all(
    chats: &[Option<Chat>],
    encoder: &Encoder,
    profile: &Profile,
    masks: bool,
    threads: usize,
    check: &Check,
) -> Result<EncodedChats, Error> {
    let groups = map_groups(chats, cost, threads, check, |first, group, check| {
        let (mut script, mut short) = (Script::default(), ShortRuns::default());
        let mut encoded = EncodedChats::default();
        encoded.offsets.try_reserve_exact(group.len())?;
        for (index, chat) in (first..).zip(group) {
            match chat.as_ref().map(|chat| chat.write(profile, &mut script, check)) {
                Some(Ok(())) => {
                    let all = &mut encoded.all;
                    script.encode_into(encoder, masks, all, &mut short, check)?;
                    all.ends.try_reserve(1)?;
                    all.ends.push(all.ids.len());
                }
                Some(Err(error @ Error::Chat { .. })) => encoded.errors.push((index, error)),
                Some(Err(error)) => return Err(error),
                None => {}
            }
            encoded.offsets.push(encoded.all.ids.len());
        }
        Ok(encoded)
    })?;
    let mut joined = EncodedChats::default();
    let all = &mut joined.all;
    all.ids.try_reserve_exact(groups.iter().map(|group| group.all.ids.len()).sum())?;
    all.mask.try_reserve_exact(groups.iter().map(|group| group.all.mask.len()).sum())?;
    all.ends.try_reserve_exact(groups.iter().map(|group| group.all.ends.len()).sum())?;
    joined.offsets.try_reserve_exact(chats.len() + 1)?;
    joined.offsets.push(0);
    for group in groups {
        check()?;
        let base = all.ids.len();
        all.ends.extend(group.all.ends.iter().map(|end| base + end));
        joined.offsets.extend(group.offsets.iter().map(|offset| base + offset));
        all.ids.extend(group.all.ids);
        all.mask.extend(group.all.mask);
        joined.errors.extend(group.errors);
    }
    Ok(joined)
}

/// About how many bytes of text a conversation has.
fn cost(chat: &Option<Chat>) -> usize {
    let length = |part: &ContentPart| match part {
        ContentPart::Text(text) => text.len(),
        ContentPart::Image => 1,
    };
    let messages = chat.iter().flat_map(|chat| &chat.messages);
    messages.map(|message| message.content.iter().map(length).sum::<usize>()).sum()
}
