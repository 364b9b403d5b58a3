"""All calls that may take long, for `tests/interrupts.py`, and those that are short.

`test_interrupts` sees that every public way in is in one of them.
"""

from dataclasses import dataclass

from long_inputs import (
    ARRAY,
    ARROW,
    CHAT,
    CHATS,
    CONTINUED,
    FILE,
    IDS,
    LLAMA2,
    MANY,
    NO_DRAFTS,
    PACK,
    PACKED,
    RECORDS,
    ROWS,
    SAVED,
    SOUND,
    TEMPLATE,
    TEXT,
    TEXTS,
    THEIRS,
    TIKTOKEN,
)


@dataclass(frozen=True)
class Call:
    """A call that takes long: what it needs, itself, and what has to hold when it was ended."""

    covers: tuple[str, ...]
    before: str
    work: str
    after: str = ""


def call(covers: str, before: str, work: str, after: str = "") -> Call:
    """A call; `covers` are public names with spaces between them."""
    return Call(tuple(covers.split()), before, work, after)


def again(work: str) -> str:
    """What takes less than a second, made until the signal comes."""
    return f"while True: {work}"


T = "llama3_tok.Tokenizer"
LONG = {
    "encode": call(f"{T}.encode llama3_tok.encode", TEXT, again("tokenizer.encode(text)")),
    "encode_array": call(f"{T}.encode_array", TEXT, again("tokenizer.encode_array(text)")),
    "encode bos": call(f"{T}.encode", TEXT, again("tokenizer.encode_array(text, bos=True)")),
    "count": call(f"{T}.count llama3_tok.count", TEXT, again("tokenizer.count(text)")),
    "encode_batch": call(f"{T}.encode_batch", TEXTS, again("tokenizer.encode_batch(texts)")),
    "encode_batch, one thread": call(
        f"{T}.encode_batch", TEXTS, again("tokenizer.encode_batch(texts, threads=1)")
    ),
    "encode_ragged": call(f"{T}.encode_ragged", TEXTS, again("tokenizer.encode_ragged(texts)")),
    "count_batch": call(f"{T}.count_batch", TEXTS, again("tokenizer.count_batch(texts)")),
    "encode_with_offsets": call(
        f"{T}.encode_with_offsets", TEXT, again("tokenizer.encode_with_offsets(text)")
    ),
    "tokens of an encoding": call(
        "", TEXT + "found = tokenizer.encode_with_offsets(text)", again("found.tokens")
    ),
    "explain": call(f"{T}.explain", TEXT, again("tokenizer.explain(text)")),
    "pretokens": call(f"{T}.pretokens", TEXT, again("tokenizer.pretokens(text)")),
    "pretoken_ends": call(f"{T}.pretoken_ends", TEXT, again("tokenizer.pretoken_ends(text)")),
    "merge": call(
        f"{T}.merge",
        "import random; word = ''.join(random.choices('abcdefgh', k=5_000_000))",
        again("tokenizer.merge(word)"),
    ),
    "added_spans": call(
        f"{T}.added_spans",
        "names = '<|eot_id|> a' * 3_000_000",
        again("tokenizer.added_spans(names, allowed_special='all')"),
    ),
    "truncate": call(f"{T}.truncate", TEXT, again("tokenizer.truncate(text, 9_000_000)")),
    "truncate, left": call(
        f"{T}.truncate", TEXT, again("tokenizer.truncate(text, 9_000_000, side='left')")
    ),
    "split": call(f"{T}.split", TEXT, again("list(tokenizer.split(text, 512, overlap=64))")),
    "one large chunk": call(f"{T}.split", TEXT, again("next(tokenizer.split(text, 9_000_000))")),
    "token_index": call(f"{T}.token_index", TEXT, again("tokenizer.token_index(text)")),
    "count of a part": call(
        "llama3_tok.TokenIndex.count",
        TEXT + "index = tokenizer.token_index(text)",
        again("index.count(1, len(text) - 1)"),
    ),
    "heal": call(f"{T}.heal", IDS, again("tokenizer.heal(ids)")),
    "is_canonical": call(f"{T}.is_canonical", IDS, again("tokenizer.is_canonical(ids)")),
    "checked_ids": call(f"{T}.checked_ids", IDS, again("tokenizer.checked_ids(ids)")),
    "prefix_tokens": call(f"{T}.prefix_tokens", "", again("tokenizer.prefix_tokens('')")),
    "decode": call(f"{T}.decode llama3_tok.decode", IDS, again("tokenizer.decode(ids)")),
    "decode, array": call(f"{T}.decode", ARRAY, again("tokenizer.decode(array)")),
    "decode_bytes": call(f"{T}.decode_bytes", ARRAY, again("tokenizer.decode_bytes(array)")),
    "decode_batch": call(f"{T}.decode_batch", ROWS, again("tokenizer.decode_batch(rows)")),
    "stream_decoder": call(
        f"{T}.stream_decoder llama3_tok.StreamDecoder.push llama3_tok.StreamDecoder.flush",
        ARRAY,
        again("tokenizer.stream_decoder().push(array)"),
    ),
    "prompt_tail": call(
        f"{T}.stream_decoder", ARRAY, again("tokenizer.stream_decoder(prompt_tail=array)")
    ),
    "encoder": call(
        f"{T}.encoder llama3_tok.IncrementalEncoder.push llama3_tok.IncrementalEncoder.finish",
        TEXT,
        again("tokenizer.encoder().push(text)"),
    ),
    "pad": call(f"{T}.pad", ROWS, again("tokenizer.pad(rows)")),
    "tokenizer()": call(f"{T}.__call__", TEXTS, again("tokenizer(texts, padding=True)")),
    # Files
    "count_file": call(f"{T}.count_file", FILE, again("tokenizer.count_file('large.txt')")),
    "count_files": call(
        f"{T}.count_files", FILE, again("tokenizer.count_files(['large.txt'] * 3)")
    ),
    "count_files, many": call(
        f"{T}.count_files",
        "open('small.txt', 'w').write('Hi'); paths = ['small.txt'] * 100_000",
        again("tokenizer.count_files(paths)"),
    ),
    "encode_file": call(f"{T}.encode_file", FILE, again("tokenizer.encode_file('large.txt')")),
    "encode_file, field": call(
        f"{T}.encode_file", RECORDS, again("tokenizer.encode_file('large.jsonl', field='text')")
    ),
    "encode_files": call(
        f"{T}.encode_files", FILE, again("list(tokenizer.encode_files(['large.txt'] * 3))")
    ),
    "stream_file": call(
        f"{T}.stream_file", FILE, again("sum(map(len, tokenizer.stream_file('large.txt')))")
    ),
    # Conversations
    "encode_chat, one long": call(f"{T}.encode_chat", CHAT, again("tokenizer.encode_chat(chat)")),
    "encode_chat, many": call(f"{T}.encode_chat", MANY, again("tokenizer.encode_chat(chat)")),
    "encode_chat, mask": call(
        f"{T}.encode_chat", MANY, again("tokenizer.encode_chat(chat, return_mask=True)")
    ),
    "encode_chat_array": call(
        f"{T}.encode_chat_array", CHAT, again("tokenizer.encode_chat_array(chat)")
    ),
    "encode_chat, template": call(
        f"{T}.encode_chat",
        TEMPLATE,
        again("tokenizer.encode_chat(chat, chat_template=template)"),
    ),
    "count_chat": call(f"{T}.count_chat", MANY, again("tokenizer.count_chat(chat)")),
    "render_chat": call(f"{T}.render_chat", MANY, again("tokenizer.render_chat(chat)")),
    "fit_chat": call(f"{T}.fit_chat", MANY, again("tokenizer.fit_chat(chat, 1000)")),
    "parse_assistant, ids": call(
        f"{T}.parse_assistant llama3_tok.parse_assistant",
        IDS,
        again("tokenizer.parse_assistant(ids)"),
    ),
    "parse_assistant, text": call(
        f"{T}.parse_assistant",
        'answer = \'{"name": "f", "parameters": {}}; \' * 300_000',
        again("tokenizer.parse_assistant(answer, salvage=True)"),
    ),
    "assistant_stream": call(
        f"{T}.assistant_stream llama3_tok.assistant_stream llama3_tok.AssistantStream.push "
        "llama3_tok.AssistantStream.finish",
        "answer = 'I think so. ' * 3_000_000",
        again("tokenizer.assistant_stream().push(answer)"),
    ),
    "rollout": call(
        "llama3_tok.Rollout.add llama3_tok.Rollout.add_sampled",
        MANY,
        again("llama3_tok.Rollout(tokenizer, chat[:-1])"),
    ),
    "renderer": call(
        "llama3_tok.Renderer.render llama3_tok.Renderer.render_ids "
        "llama3_tok.Renderer.bridge_to_next_turn llama3_tok.Renderer.parse_response",
        MANY + "renderer = llama3_tok.Renderer(tokenizer)",
        again("renderer.render(chat)"),
    ),
    # Data
    "encode_chats": call("llama3_tok.data.encode_chats", CHATS, again("encode_chats(chats)")),
    "count_chats": call("llama3_tok.data.count_chats", CHATS, again("count_chats(chats)")),
    "encode_arrow": call("llama3_tok.data.encode_arrow", ARROW, again("encode_arrow(column)")),
    "count_arrow": call("llama3_tok.data.count_arrow", ARROW, again("count_arrow(column)")),
    "huggingface.Encode": call(
        "llama3_tok.data.huggingface.Encode.__call__ llama3_tok.data.huggingface.encode",
        TEXTS + "from llama3_tok.data.huggingface import encode",
        again("encode({'text': texts})"),
    ),
    "pack": call("llama3_tok.data.pack", PACK, again("pack(ragged, 2048)")),
    "pack, best fit": call(
        "llama3_tok.data.pack", PACK, again("pack(ragged, 2048, strategy='best-fit')")
    ),
    "pack, separator": call(
        "llama3_tok.data.pack", PACK, again("pack(ragged, 2048, separator=1, mask=ragged.ids)")
    ),
    "pack, lists": call("llama3_tok.data.pack", PACK + ROWS, again("pack(rows, 2048)")),
    "columns": call("llama3_tok.data.Packed.columns", PACKED, again("packed.columns()")),
    "padded": call("llama3_tok.data.Packed.padded", PACKED, again("packed.padded(0)")),
    "corpus": call(
        "llama3_tok.data.corpus llama3_tok.data.verify llama3_tok.data.inspect",
        FILE + "from llama3_tok.data import corpus",
        again(
            "last = f'tokens{len(os.listdir())}'; "
            "corpus('large.txt', last, documents='line', shard_tokens=1_000_000)"
        ),
        CONTINUED,
    ),
    # Tokenizers and their files
    "Tokenizer()": call(
        f"{T}.from_bytes",
        "data = tokenizer.rank_file()",
        again("llama3_tok.Tokenizer.from_bytes(data + b'eHh4eHhxcXE= 128000\\n')"),
    ),
    "Tokenizer(folder)": call(
        f"{T}.with_folder",
        SAVED + "import pathlib; json = pathlib.Path('saved/tokenizer.json')\n"
        "pathlib.Path('saved/tokenizer.model').unlink()\n",
        again("json.write_text(json.read_text() + ' '); llama3_tok.Tokenizer('saved')"),
    ),
    "with_special_tokens": call(
        f"{T}.with_special_tokens",
        "names = {f'<|{at}|>': 128256 + at for at in range(20_000)}",
        again("tokenizer.with_special_tokens(names)"),
    ),
    "rank_file": call(f"{T}.rank_file", "", again("tokenizer.rank_file()")),
    "tokens": call(f"{T}.tokens", "", again("tokenizer.tokens()")),
    "written_tokens": call(f"{T}.written_tokens", "", again("tokenizer.written_tokens()")),
    "save": call(f"{T}.save", "", again("tokenizer.save('new')"), SOUND),
    "convert": call(
        "",
        SAVED + "from llama3_tok.formats.convert import convert",
        again("convert('saved', 'made.json', force=True)"),
        NO_DRAFTS,
    ),
    # Other libraries' interfaces
    "tiktoken, encode": call(
        "llama3_tok.compat.tiktoken.Encoding.encode "
        "llama3_tok.compat.tiktoken.Encoding.encode_ordinary "
        "llama3_tok.compat.tiktoken.Encoding.encode_to_numpy",
        TEXT + TIKTOKEN,
        again("encoding.encode(text)"),
    ),
    "tiktoken, batch": call(
        "llama3_tok.compat.tiktoken.Encoding.encode_batch "
        "llama3_tok.compat.tiktoken.Encoding.encode_ordinary_batch",
        TEXTS + TIKTOKEN,
        again("encoding.encode_ordinary_batch(texts)"),
    ),
    "tiktoken, decode": call(
        "llama3_tok.compat.tiktoken.Encoding.decode "
        "llama3_tok.compat.tiktoken.Encoding.decode_bytes",
        IDS + TIKTOKEN,
        again("encoding.decode(ids)"),
    ),
    "tiktoken, offsets": call(
        "llama3_tok.compat.tiktoken.Encoding.decode_with_offsets "
        "llama3_tok.compat.tiktoken.Encoding.decode_tokens_bytes",
        IDS + TIKTOKEN,
        again("encoding.decode_with_offsets(ids)"),
    ),
    "tiktoken, decode_batch": call(
        "llama3_tok.compat.tiktoken.Encoding.decode_batch "
        "llama3_tok.compat.tiktoken.Encoding.decode_bytes_batch",
        ROWS + TIKTOKEN,
        again("encoding.decode_batch(rows)"),
    ),
    "transformers": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.tokenize", THEIRS, again("theirs(texts)")
    ),
    "transformers, offsets": call("", THEIRS, again("theirs(texts, return_offsets_mapping=True)")),
    "transformers, decode": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.decode",
        THEIRS + IDS,
        again("theirs.decode(ids)"),
    ),
    "transformers, chat": call(
        "llama3_tok.compat.transformers.Llama3Tokenizer.apply_chat_template",
        THEIRS + MANY,
        again("theirs.apply_chat_template(chat)"),
    ),
    # Serving and reports
    "PrefixCache.encode": call(
        "llama3_tok.serving.PrefixCache.encode llama3_tok.serving.PrefixCache.encode_array",
        TEXT + "from llama3_tok.serving import PrefixCache; cache = PrefixCache(max_bytes=1 << 30)",
        again("cache.encode(text)"),
    ),
    "PrefixCache.encode_chat": call(
        "llama3_tok.serving.PrefixCache.encode_chat "
        "llama3_tok.serving.PrefixCache.encode_chat_array llama3_tok.serving.PrefixCache.clear",
        MANY + "from llama3_tok.serving import PrefixCache; cache = PrefixCache()",
        again("cache.encode_chat(chat)"),
    ),
    "compare": call(
        "llama3_tok.report.compare llama3_tok.report.Comparison.to_html "
        "llama3_tok.report.Comparison.to_json",
        TEXT + LLAMA2,
        again("report.compare(text, llama2=llama2)"),
    ),
    "parity": call(
        "llama3_tok.report.parity llama3_tok.report.Parity.to_html "
        "llama3_tok.report.Parity.to_json",
        FILE + "from llama3_tok import report",
        again("report.parity(['large.txt'], references=['tiktoken'])"),
    ),
}
"""All calls that may take long, by what they are called."""

SHORT = {
    *("llama3_tok.about.code_path", "llama3_tok.about.code_paths", "llama3_tok.about.cpu_count"),
    *("llama3_tok.about.cpu_features", "llama3_tok.AssistantMessage.to_message"),
    *("llama3_tok.AssistantStream.choices", "llama3_tok.Renderer.get_stop_token_ids"),
    *(
        f"llama3_tok.compat.tiktoken.Encoding.{name}"
        for name in (
            *("decode_single_token_bytes", "encode_single_token", "is_special_token"),
            *("token_byte_values", "encode_with_unstable"),
        )
    ),
    *(
        f"llama3_tok.compat.tiktoken.{name}"
        for name in (
            *("get_encoding", "list_encoding_names", "encoding_for_model"),
            "encoding_name_for_model",
        )
    ),
    "llama3_tok.compat.tokenizers.DecodeStream.step",
    *(f"llama3_tok.compat.transformers.{name}" for name in ("register", "unregister")),
    *(
        f"llama3_tok.compat.transformers.Llama3Tokenizer.{name}"
        for name in (
            *("build_inputs_with_special_tokens", "convert_tokens_to_string", "get_vocab"),
            *("get_special_tokens_mask", "save_vocabulary", "set_truncation_and_padding"),
            "train_new_from_iterator",
        )
    ),
    *(
        f"llama3_tok.data.huggingface.Encode.{name}"
        for name in ("column_of", "counts_of", "ids_of", "threads_here", "with_column")
    ),
    "llama3_tok.ChatFormatError.in_row",
    "llama3_tok.serving.PrefixCache.info",
    *(f"{T}.{name}" for name in ("cache_info", "of", "token_bytes", "token_id")),
    "llama3_tok.Encoding.token_at",
    *(f"llama3_tok.Explanation.{name}" for name in ("as_json", "at")),
    *(
        f"llama3_tok.{kind}.{name}"
        for kind in ("Pretoken", "AddedPiece")
        for name in ("as_json", "tree")
    ),
    "llama3_tok.Padded.to",
}
"""What looks something up, is a part of another call, or makes another form of one result."""
