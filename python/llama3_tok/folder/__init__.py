"""What a model folder says of its tokenizer besides the ranks.

A fine-tune has special tokens of its own, another end of a turn, a chat template. Where the files
of a folder say it in several ways, what counts is what `AutoTokenizer` of transformers 5 makes of
them:

1. `tokenizer.json` has the added tokens, and what is put around a text.
2. `tokenizer_config.json` may give them other flags, and names BOS, EOS, padding and so on; a token
   that it names and that is not there yet is added.
3. Without `added_tokens_decoder` in that file, `special_tokens_map.json` and `added_tokens.json`
   are read as well, as older versions wrote them.
4. Chat templates are files, or in the configuration.
5. `generation_config.json` says what ends generation; without it, `config.json`.

transformers numbers new tokens itself and ignores an id that a file gives. Here an id that is not
the one it would give is an error, which names both.
"""

from llama3_tok.folder.added import AddedToken
from llama3_tok.folder.around import Around, post_processor
from llama3_tok.folder.changes import described, named, usual, with_special
from llama3_tok.folder.reading import read
from llama3_tok.folder.says import TEMPLATE, TEMPLATES, Folder, Roles

__all__ = [
    "TEMPLATE",
    "TEMPLATES",
    "AddedToken",
    "Around",
    "Folder",
    "Roles",
    "described",
    "named",
    "post_processor",
    "read",
    "usual",
    "with_special",
]
