"""Model folders of the shapes that fine-tunes have, made by program: see `SHAPES`."""

import json
import random
from functools import cache
from pathlib import Path

import oracle
from llama3_tok import Tokenizer

MASK = {"__type": "AddedToken", "content": "[MASK]", "lstrip": True, "special": True}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
REASONING = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '<｜User｜>' + message['content'] }}{% else %}"
    "{{ '<｜Assistant｜>' }}{% generation %}{{ message['content'].split('</think>')[-1] }}"
    "{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\n' }}{% endif %}"
)
TOOLS = "{{ bos_token }}{{ tools | tojson }}{% for m in messages %}{{ m.content }}{% endfor %}"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


@cache
def _published() -> tuple[str, str]:
    """The `tokenizer.json` of 3.1 without its model and what is put around a text; the model."""
    value = json.loads(oracle.llama3_tokenizer_json())
    model = json.dumps(value.pop("model"), ensure_ascii=False)
    value["added_tokens"] = [token(id, name) for name, id in Tokenizer().special_tokens.items()]
    return json.dumps(value), model


def token(id, content, *flags):
    """An added token as `tokenizer.json` has it; a special one without flags, else those named."""
    flags = flags or ("special",)
    return {"id": id, "content": content} | {flag: flag in flags for flag in FLAGS}


def around(single, pair, *tokens):
    """A post-processor from templates as `<s> A </s>`."""

    def parts(template):
        return [
            {"Sequence": {"id": word, "type_id": 0}}
            if word in "AB"
            else {"SpecialToken": {"id": word, "type_id": 0}}
            for word in template.split()
        ]

    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False}
    template = {
        "type": "TemplateProcessing",
        "single": parts(single),
        "pair": parts(pair),
        "special_tokens": {
            name: {"id": name, "ids": [id], "tokens": [name]} for name, id in tokens
        },
    }
    return {"type": "Sequence", "processors": [byte_level | {"use_regex": True}, template]}


BOS = ("<|begin_of_text|>", 128000)
USUAL = around("<|begin_of_text|> A", "<|begin_of_text|> A <|begin_of_text|> B", BOS)


def write(folder, *, renamed=None, more=(), post_processor=USUAL, config=None, **files):
    """A folder whose tokens are those of 3.1 with some renamed, and more of them.

    `files` are others by their names without `.json`, with the objects they hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    published, model = _published()
    value = json.loads(published)
    for id, name in (renamed or {}).items():
        at = id - 128000
        new = name if isinstance(name, dict) else token(id, name)
        value["added_tokens"][at] = new
    # In the order of ids, as the library writes them.
    below = [one for one in more if one["id"] < 128000]
    above = [one for one in more if one["id"] >= 128000]
    value["added_tokens"] = [*below, *value["added_tokens"], *above]
    value["post_processor"] = post_processor
    whole = f'{json.dumps(value, ensure_ascii=False)[:-1]}, "model": {model}}}'
    (folder / "tokenizer.json").write_text(whole, encoding="utf-8")
    if config is not None:
        usual = {
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 131072,
            "clean_up_tokenization_spaces": True,
        }
        decoder = {str(one["id"]): one for one in value["added_tokens"]}
        written = usual | {"added_tokens_decoder": decoder} | config
        dump(folder / "tokenizer_config.json", {k: v for k, v in written.items() if v != "none"})
    for name, content in files.items():
        dump(folder / f"{name}.json", content)
    return folder


def dump(path: Path, value):
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def chatml(folder):
    """Reserved tokens renamed, a chat template of its own, another end, the rank file beside it."""
    write(
        folder,
        renamed={128011: "<|im_start|>", 128012: "<|im_end|>"},
        config={"eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "chat_template": CHATML},
        generation_config={"bos_token_id": 128000, "eos_token_id": [128012, 128001]},
    )
    (folder / "tokenizer.model").write_bytes(Path(Tokenizer().vocabulary).read_bytes())


def added(folder):
    """Tokens after the vocabulary, special or not, with all flags; stop ids of the model alone."""
    write(
        folder,
        more=[
            token(128256, "<pad>"),
            token(128257, "[MASK]", "special", "lstrip"),
            token(128258, "Sonderwort", "normalized"),
            token(128259, "qzq", "single_word", "normalized"),
            token(128260, "<tool>", "rstrip"),
            token(128261, "<tool>2", "lstrip", "rstrip", "single_word"),
        ],
        config={"pad_token": "<pad>", "mask_token": MASK},
        config_json={},
    )
    (folder / "config_json.json").rename(folder / "config.json")
    dump(folder / "config.json", {"model_type": "llama", "eos_token_id": [128009, 128001]})


def reasoning(folder):
    """Names with full-width bars, tags that are not special tokens, another BOS and EOS."""
    bos, eos = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
    write(
        folder,
        renamed={
            128000: bos,
            128001: eos,
            128011: token(128011, "<｜User｜>", "plain"),
            128012: token(128012, "<｜Assistant｜>", "plain"),
            128013: token(128013, "<think>", "plain"),
            128014: token(128014, "</think>", "plain"),
        },
        post_processor=around(f"{bos} A", f"{bos} A {bos} B", (bos, 128000)),
        config={"bos_token": bos, "eos_token": eos, "pad_token": eos, "chat_template": REASONING},
        generation_config={"eos_token_id": 128001},
    )


def embedding(folder):
    """EOS after a text, and no BOS; a class token of its own."""
    end = ("<|end_of_text|>", 128001)
    write(
        folder,
        more=[token(128256, "<CLS>")],
        post_processor=around(
            "<CLS> A <|end_of_text|>",
            "<CLS> A <|end_of_text|> B <|end_of_text|>",
            end,
            ("<CLS>", 128256),
        ),
        config={"cls_token": "<CLS>", "bos_token": "none", "pad_token": "<|end_of_text|>"},
    )


def nothing(folder):
    """Nothing around a text, no BOS, and names of tokens that only the configuration has."""
    write(
        folder,
        post_processor=None,
        config={"bos_token": None, "pad_token": "[PAD]", "image_token": "<image>"},
    )


def old(folder):
    """As older versions wrote it: names in files of their own."""
    write(
        folder,
        config={"added_tokens_decoder": "none", "additional_special_tokens": ["<s1>", "<s2>"]},
        special_tokens_map={"pad_token": "<pad>", "eos_token": {"content": "<|eot_id|>"}},
        added_tokens={"<pad>": 128256, "domain word": 128257, "<s1>": 128258},
    )


def words(folder):
    """Tokens of the vocabulary that were added as well: one special, one not."""
    write(
        folder,
        more=[token(0, "!"), token(9906, "Hello", "normalized")],
        config={"pad_token": "!", "added_tokens_decoder": "none"},
    )


def overlapping(folder):
    """Names that begin with, contain and follow one another."""
    names = ["<qa", "<qa>", "qa>b", ">b<qa", "<qa><qa>", "b<|eot", " <qa>", "bqz"]
    flags = [("plain",), ("special",), ("normalized",), ("plain", "lstrip")]
    write(
        folder,
        more=[token(128256 + at, name, *flags[at % 4]) for at, name in enumerate(names)],
        config={},
    )


def templates(folder):
    """Several chat templates by name, tokens of a release."""
    named = [{"name": "default", "template": CHATML}, {"name": "tool_use", "template": TOOLS}]
    write(folder, config={"chat_template": named})


def template_files(folder):
    """The same in files, which count more than the configuration."""
    write(folder, config={"chat_template": "{{ 'not this' }}"})
    (folder / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TOOLS, encoding="utf-8")


def published(folder):
    """As published: `original/` beside the converted files, more rows than tokens."""
    write(folder, config={}, generation_config={"eos_token_id": [128001, 128008, 128009]})
    dump(folder / "config.json", {"model_type": "llama", "vocab_size": 128320})
    (folder / "original").mkdir()
    rank_file = Path(Tokenizer().vocabulary).read_bytes()
    (folder / "original" / "tokenizer.model").write_bytes(rank_file)


def alone(folder):
    """A `tokenizer.json` by itself, with flags that differ from a release's."""
    write(folder, renamed={128010: token(128010, "<|python_tag|>", "plain")})


SHAPES = {
    shape.__name__: shape
    for shape in (
        chatml,
        added,
        reasoning,
        embedding,
        nothing,
        old,
        words,
        overlapping,
        templates,
        template_files,
        published,
        alone,
    )
}


WORDS = [
    "Hello", " world", "!", " ", "\n", "  ", "\t", "qzq", "qz", "a", "b", "<", ">", "|", "1", "é",
    "漢字",
    ".", "_", "<|", "|>", "<|eot", "<thin", "<｜", "\u00a0", "word", " Sonderwort", "x", "　", "'s",
]  # fmt: skip


def texts(tokenizer, count, seed=0):
    """Texts with the names of added tokens in them, whole and in part, where all are used."""
    made = random.Random(seed)
    names = [name for name in tokenizer.added_tokens if "reserved" not in name]
    parts = names + names + WORDS + [name[: len(name) // 2] for name in names]
    parts += [name[1:] for name in names]
    return ["".join(made.choices(parts, k=made.randint(0, 12))) for _ in range(count)]


def make(tmp_path, name):
    SHAPES[name](tmp_path / name)
    return tmp_path / name
