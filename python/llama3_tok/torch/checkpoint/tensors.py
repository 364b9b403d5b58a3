"""Which tensors there are, by their names in both layouts, in the order in which they are used.

Names and shapes are those of llama-models' `model.py` and `multimodal/model.py`, and of
transformers' Llama and Mllama. Those of the latter are as the published files have them;
`as_published` has what its class calls them since it was rearranged.
"""

from collections.abc import Iterator

from llama3_tok.torch.checkpoint.elements import Split, Tensor
from llama3_tok.torch.checkpoint.sizes import Sizes
from llama3_tok.torch.checkpoint.tiles import ratios
from llama3_tok.torch.checkpoint.vision import NEW_ROWS, Vision

EMBEDDING, OUTPUT = "tok_embeddings.weight", "output.weight"

# What the names of a vision model's text model begin with, in either layout.
TEXT, _HF_TEXT = "text_model.", "language_model."

_ROWS, _COLUMNS, _WHOLE = Split.ROWS, Split.COLUMNS, Split.WHOLE


def tensors(sizes: Sizes) -> Iterator[Tensor]:
    """All tensors of a model.

    The output layer is among them also if it is tied to the embedding.
    """
    if sizes.vision is not None:
        yield from _vision_tensors(sizes, sizes.vision)
        return
    dim = sizes.dim
    yield Tensor(EMBEDDING, "model.embed_tokens.weight", (sizes.vocabulary, dim), _ROWS)
    for index in range(sizes.layers):
        yield from _text_layer(sizes, f"layers.{index}", f"model.layers.{index}")
    yield Tensor("norm.weight", "model.norm.weight", (dim,), _WHOLE)
    yield Tensor(OUTPUT, "lm_head.weight", (sizes.vocabulary, dim), _ROWS)


def text_prefix(sizes: Sizes) -> str:
    """What the names of the text model's tensors begin with, in Meta's layout."""
    return "" if sizes.vision is None else TEXT


def _text_layer(sizes: Sizes, meta: str, hf: str) -> Iterator[Tensor]:
    dim, kv = sizes.dim, sizes.kv_heads * sizes.head_dim
    for name, theirs, shape, split, rotary, is_kv in (
        ("attention_norm", "input_layernorm", (dim,), _WHOLE, False, False),
        ("attention.wq", "self_attn.q_proj", (dim, dim), _ROWS, True, False),
        ("attention.wk", "self_attn.k_proj", (kv, dim), _ROWS, True, True),
        ("attention.wv", "self_attn.v_proj", (kv, dim), _ROWS, False, True),
        ("attention.wo", "self_attn.o_proj", (dim, dim), _COLUMNS, False, False),
    ):
        yield Tensor(f"{meta}.{name}.weight", f"{hf}.{theirs}.weight", shape, split, rotary, is_kv)
    yield from _feed_forward(sizes, meta, hf)


def _feed_forward(sizes: Sizes, meta: str, hf: str) -> Iterator[Tensor]:
    dim, wide = sizes.dim, sizes.intermediate
    for name, theirs, shape, split in (
        ("ffn_norm", "post_attention_layernorm", (dim,), _WHOLE),
        ("feed_forward.w1", "mlp.gate_proj", (wide, dim), _ROWS),
        ("feed_forward.w3", "mlp.up_proj", (wide, dim), _ROWS),
        ("feed_forward.w2", "mlp.down_proj", (dim, wide), _COLUMNS),
    ):
        yield Tensor(f"{meta}.{name}.weight", f"{hf}.{theirs}.weight", shape, split)


# Of a model that reads images


def _vision_tensors(sizes: Sizes, vision: Vision) -> Iterator[Tensor]:
    """The image encoder, what brings its result to the text's width, and the text model."""
    dim, encoder = sizes.dim, vision.encoder
    yield from _encoder(vision)
    projection, theirs = "vision_model.vision_projection", "multi_modal_projector"
    yield Tensor(f"{projection}.weight", f"{theirs}.weight", (dim, encoder.output), _ROWS)
    yield Tensor(f"{projection}.bias", f"{theirs}.bias", (dim,), _ROWS)
    # The ids after the vocabulary have rows of their own in Meta's layout.
    embedding, both = f"{_HF_TEXT}model.embed_tokens.weight", (sizes.rows, dim)
    yield Tensor(TEXT + EMBEDDING, embedding, (sizes.vocabulary, dim), _ROWS, hf_shape=both)
    yield Tensor(
        f"{TEXT}learnable_embedding.weight",
        embedding,
        (NEW_ROWS, dim),
        _ROWS,
        hf_shape=both,
        start=sizes.vocabulary,
    )
    hf, place, cross = f"{_HF_TEXT}model.layers", 0, 0
    for index in range(sizes.layers):
        if index in vision.cross_layers:
            meta = f"{TEXT}cross_attention_layers.{cross}"
            yield from _cross_layer(sizes, meta, f"{hf}.{place}")
            place, cross = place + 1, cross + 1
        yield from _text_layer(sizes, f"{TEXT}layers.{index}", f"{hf}.{place}")
        place += 1
    yield Tensor(f"{TEXT}norm.weight", f"{_HF_TEXT}model.norm.weight", (dim,), _WHOLE)
    yield Tensor(TEXT + OUTPUT, f"{_HF_TEXT}lm_head.weight", (sizes.vocabulary, dim), _ROWS)


def _cross_layer(sizes: Sizes, meta: str, hf: str) -> Iterator[Tensor]:
    """A layer of cross-attention. Its heads are not rotated, so their rows stay."""
    dim, kv, head = sizes.dim, sizes.kv_heads * sizes.head_dim, sizes.head_dim
    for name, theirs, shape, split, is_kv in (
        ("attention_norm", "input_layernorm", (dim,), _WHOLE, False),
        ("attention.wq", "cross_attn.q_proj", (dim, dim), _ROWS, False),
        ("attention.wk", "cross_attn.k_proj", (kv, dim), _ROWS, True),
        ("attention.wv", "cross_attn.v_proj", (kv, dim), _ROWS, True),
        ("attention.wo", "cross_attn.o_proj", (dim, dim), _COLUMNS, False),
        ("attention.q_norm", "cross_attn.q_norm", (head,), _WHOLE, False),
        ("attention.k_norm", "cross_attn.k_norm", (head,), _WHOLE, False),
    ):
        yield Tensor(f"{meta}.{name}.weight", f"{hf}.{theirs}.weight", shape, split, False, is_kv)
    yield _gate(f"{meta}.gate_attn", f"{hf}.cross_attn_attn_gate")
    yield from _feed_forward(sizes, meta, hf)
    yield _gate(f"{meta}.gate_ffwd", f"{hf}.cross_attn_mlp_gate")


def _encoder(vision: Vision) -> Iterator[Tensor]:
    meta, hf, sizes = "vision_model.vision_encoder", "vision_model", vision.encoder
    width, patch = sizes.width, sizes.patch
    kernel = (width, sizes.channels, patch, patch)
    pixels = sizes.channels * patch * patch
    yield Tensor(
        f"{meta}.conv1._linear.weight",
        f"{hf}.patch_embedding.weight",
        (width, pixels),
        _ROWS,
        hf_shape=kernel,
    )
    yield _grid(f"{meta}.pre_tile_pos_embed.embedding", _tile_table(hf, "pre"), 1, vision)
    yield _gate(f"{meta}.pre_tile_pos_embed.gate", f"{hf}.pre_tile_positional_embedding.gate")
    yield Tensor(f"{meta}.class_embedding", f"{hf}.class_embedding", (width,), _WHOLE)
    position = f"{hf}.gated_positional_embedding"
    shape = (vision.tokens, width)
    yield Tensor(f"{meta}.positional_embedding", f"{position}.embedding", shape, _WHOLE)
    grid, table = f"{meta}.gated_positional_embedding", f"{position}.tile_embedding.weight"
    yield _grid(grid, table, vision.tokens, vision)
    yield _gate(f"{meta}.gated_positional_embedding_gate", f"{position}.gate")
    yield from _norm(f"{meta}.ln_pre", f"{hf}.layernorm_pre", width)
    for index in range(sizes.layers):
        yield from _block(
            vision, f"{meta}.transformer.resblocks.{index}", f"{hf}.transformer.layers.{index}"
        )
    yield from _norm(f"{meta}.ln_post", f"{hf}.layernorm_post", width)
    yield _grid(f"{meta}.post_tile_pos_embed.embedding", _tile_table(hf, "post"), 1, vision)
    yield _gate(f"{meta}.post_tile_pos_embed.gate", f"{hf}.post_tile_positional_embedding.gate")
    for index in range(sizes.global_layers):
        ours = f"{meta}.global_transformer.resblocks.{index}"
        theirs = f"{hf}.global_transformer.layers.{index}"
        yield from _block(vision, ours, theirs)
        yield _gate(f"{ours}.gate_attn", f"{theirs}.gate_attn")
        yield _gate(f"{ours}.gate_ffn", f"{theirs}.gate_ffn")


def _block(vision: Vision, meta: str, hf: str) -> Iterator[Tensor]:
    """A layer of the image encoder."""
    width, wide = vision.encoder.width, vision.encoder.wide
    yield from _norm(f"{meta}.ln_1", f"{hf}.input_layernorm", width)
    for name, theirs, shape, split in (
        ("attn.wq.weight", "self_attn.q_proj.weight", (width, width), _ROWS),
        ("attn.wk.weight", "self_attn.k_proj.weight", (width, width), _ROWS),
        ("attn.wv.weight", "self_attn.v_proj.weight", (width, width), _ROWS),
        ("attn.wo.weight", "self_attn.o_proj.weight", (width, width), _COLUMNS),
    ):
        yield Tensor(f"{meta}.{name}", f"{hf}.{theirs}", shape, split)
    yield from _norm(f"{meta}.ln_2", f"{hf}.post_attention_layernorm", width)
    yield Tensor(f"{meta}.mlp.c_fc.weight", f"{hf}.mlp.fc1.weight", (wide, width), _ROWS)
    yield Tensor(f"{meta}.mlp.c_fc.bias", f"{hf}.mlp.fc1.bias", (wide,), _ROWS)
    yield Tensor(f"{meta}.mlp.c_proj.weight", f"{hf}.mlp.fc2.weight", (width, wide), _COLUMNS)
    yield Tensor(f"{meta}.mlp.c_proj.bias", f"{hf}.mlp.fc2.bias", (width,), _WHOLE)


def _norm(meta: str, hf: str, width: int) -> Iterator[Tensor]:
    for part in ("weight", "bias"):
        yield Tensor(f"{meta}.{part}", f"{hf}.{part}", (width,), _WHOLE)


def _gate(meta: str, hf: str) -> Tensor:
    return Tensor(meta, hf, (1,), _WHOLE, gate=True)


def _tile_table(hf: str, where: str) -> str:
    return f"{hf}.{where}_tile_positional_embedding.embedding.weight"


def _grid(meta: str, hf: str, tokens: int, vision: Vision) -> Tensor:
    """Embeddings of tiles, each of `tokens` rows."""
    tiles, width = vision.encoder.tiles, vision.encoder.width
    table = (1 + len(ratios(tiles)), tiles * tokens * width)
    return Tensor(meta, hf, (tiles, tiles, tokens, width), _WHOLE, tiles=True, hf_shape=table)


# What transformers' class has its tensors in, and what the published files have them in.
_MOVED = {
    "model.language_model.": "language_model.model.",
    "model.vision_model.": "vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "lm_head.": "language_model.lm_head.",
}


def as_published(name: str) -> str:
    """What the published files of vision models call a tensor of transformers' class.

    >>> as_published("model.vision_model.class_embedding")
    'vision_model.class_embedding'
    """
    new = next((one for one in _MOVED if name.startswith(one)), "")
    return _MOVED[new] + name.removeprefix(new) if new else name
