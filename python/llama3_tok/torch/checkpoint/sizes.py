"""What a Llama 3 model is, in numbers: from and to `params.json` and `config.json`.

`params.json` is Meta's, with the fields and defaults of `ModelArgs` in llama-models; `config.json`
that of transformers. A field that would make another model than the one described here is refused,
never dropped. `vision` has what a model that reads images has besides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from llama3_tok.profiles import ROPE_TYPE, Profile, releases
from llama3_tok.torch.checkpoint import vision as images
from llama3_tok.torch.checkpoint.cases import kind_of_config, kind_of_field
from llama3_tok.torch.checkpoint.fields import Fields, Json
from llama3_tok.torch.checkpoint.stored import refuse
from llama3_tok.torch.checkpoint.vision import Vision

# `multiple_of` and `ffn_dim_multiplier` of the published models, by their `dim`.
_FEED_FORWARD = {
    2048: (256, 1.5),
    3072: (256, 1.0),
    4096: (1024, 1.3),
    8192: (4096, 1.3),
    16384: (4096, 1.2),
}


@dataclass(frozen=True)
class Sizes:
    """A model of the Llama 3 architecture."""

    dim: int
    layers: int
    """Without those of cross-attention."""
    heads: int
    kv_heads: int
    """As many as differ: copies that ranks hold of one head count once."""
    intermediate: int
    vocabulary: int
    norm_eps: float
    rope_theta: float
    scaled: bool
    """Whether the rotary frequencies are scaled, as in 3.1 and later."""
    tied: bool
    """Whether the output layer is the embedding."""
    named: str | None = None
    """The release that somebody named, since the weights can't tell all of them apart."""
    vision: Vision | None = None
    """What it has to read images; None for a text model."""

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return "Llama 3 text model" if self.vision is None else "Llama 3.2 Vision model"

    @property
    def rows(self) -> int:
        """How many ids have a row in the embedding."""
        return self.vocabulary + (0 if self.vision is None else images.NEW_ROWS)

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        return self.dim // self.heads

    @property
    def profile(self) -> str:
        """The tokenizer's profile: that of the release."""
        return self.release.name

    @property
    def release(self) -> Profile:
        """The release that was named, or the first that scaling and tying tell.

        Meta's params.json says only whether frequencies are scaled; by how much is the release's.
        So a release that scales where the weights do not, or the other way round, tells nothing.
        """
        fitting = [one for one in releases() if (one.scaling is not None) == self.scaled]
        if self.vision is not None:
            fitting = [one for one in releases() if one.template.images]
        told = [one for one in fitting if one.name == self.named]
        return [*told, *(one for one in fitting if one.tied == self.tied), *fitting][0]

    def rope_parameters(self) -> Json:
        """As transformers 5 has them."""
        scaling = self.release.scaling
        if scaling is None or not self.scaled:
            return {"rope_type": "default", "rope_theta": self.rope_theta}
        return {
            "rope_type": ROPE_TYPE,
            "rope_theta": self.rope_theta,
            "factor": scaling.factor,
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_context,
        }


@dataclass(frozen=True)
class Params:
    """What `params.json` says; None for what only the weights can tell."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    """With the copies, where ranks outnumber them."""
    vocabulary: int | None
    intermediate: int | None
    norm_eps: float
    rope_theta: float
    scaled: bool
    vision: Vision | None


def from_params(values: Json, file: str) -> Params:
    """Reads a `params.json`: missing fields have the defaults of llama-models' `ModelArgs`."""
    fields = Fields(values, file)
    # Fine-tuned models have them inside.
    if isinstance(values.get("model"), dict):
        fields = Fields(values["model"], file)
    dim, layers = fields.take("dim", int), fields.take("n_layers", int)
    heads = fields.take("n_heads", int)
    kv_heads = fields.take("n_kv_heads", int, heads)
    if dim % heads or (dim // heads) % 2 or heads % kv_heads:
        fields.refuse(
            f"{heads} heads, of which {kv_heads} for keys and values, do not divide "
            f"{dim} dimensions into rotary pairs"
        )
    if fields._values.get("vocab_size") == -1:  # "ask the tokenizer", as Llama 2 wrote it
        fields.drop("vocab_size")
    multiple_of = fields.optional("multiple_of", int)
    multiplier = fields.optional("ffn_dim_multiplier", float)
    told = multiple_of is not None or multiplier is not None
    params = Params(
        dim=dim,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        vocabulary=fields.optional("vocab_size", int),
        intermediate=feed_forward(dim, multiple_of or 256, multiplier) if told else None,
        norm_eps=fields.take("norm_eps", float, 1e-5),
        rope_theta=fields.take("rope_theta", float, 500000.0),
        scaled=fields.take("use_scaled_rope", bool, False),
        vision=images.from_params(fields, layers),
    )
    fields.drop("max_seq_len", "max_batch_size")  # how it is run
    if left := fields.left():
        fields.refuse(
            f"the field {min(left)!r} is none of a Llama 3 model in bfloat16, float16 or "
            f"float32{kind_of_field(min(left))}"
        )
    return params


def feed_forward(dim: int, multiple_of: int, multiplier: float | None) -> int:
    """The width of the feed-forward layers, as llama-models' `FeedForward` computes it."""
    width = int(8 * dim / 3)
    if multiplier is not None:
        width = int(multiplier * width)
    return multiple_of * -(-width // multiple_of)


def to_params(sizes: Sizes, ranks: int, file: str) -> Json:
    """The `params.json` of a checkpoint of `ranks` files.

    Meta's code gives each rank a KV head of its own, so `n_kv_heads` counts the copies.
    """
    multiple_of, multiplier = _feed_forward_fields(sizes, file)
    return {
        "dim": sizes.dim,
        "ffn_dim_multiplier": multiplier,
        "multiple_of": multiple_of,
        "n_heads": sizes.heads,
        "n_kv_heads": max(sizes.kv_heads, ranks),
        "n_layers": sizes.layers,
        "norm_eps": sizes.norm_eps,
        "rope_theta": sizes.rope_theta,
        "use_scaled_rope": sizes.scaled,
        "vocab_size": sizes.vocabulary,
        **(images.to_params(sizes.vision) if sizes.vision else {}),
    }


def _feed_forward_fields(sizes: Sizes, file: str) -> tuple[int, float]:
    """A `multiple_of` and an `ffn_dim_multiplier` that give the width of the feed-forward layers.

    Those of the published model where they do, else the shortest decimal that does.
    """
    width = sizes.intermediate
    published = _FEED_FORWARD.get(sizes.dim)
    if published and feed_forward(sizes.dim, *published) == width:
        return published
    multiple_of = math.gcd(width, 4096)
    for digits in range(1, 18):
        multiplier = round(width / int(8 * sizes.dim / 3), digits)
        if multiplier > 0 and feed_forward(sizes.dim, multiple_of, multiplier) == width:
            return multiple_of, multiplier
    return refuse(
        file,
        f"no ffn_dim_multiplier makes Meta's formula give an intermediate_size of {width} for "
        f"{sizes.dim} dimensions",
    )


def to_config(sizes: Sizes, dtype: str, tokens: Mapping[str, Any]) -> Json:
    """The `config.json`; `tokens` are the ids of its generation config.

    transformers 5 reads `rope_parameters` and `dtype`, 4 `rope_theta`, `rope_scaling` and
    `torch_dtype`: both are there and say the same.
    """
    rope = sizes.rope_parameters()
    scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        **tokens,
        "dtype": dtype,
        "head_dim": sizes.head_dim,
        "hidden_act": "silu",
        "hidden_size": sizes.dim,
        "initializer_range": 0.02,
        "intermediate_size": sizes.intermediate,
        "max_position_embeddings": sizes.release.context,
        "mlp_bias": False,
        "num_attention_heads": sizes.heads,
        "num_hidden_layers": sizes.layers,
        "num_key_value_heads": sizes.kv_heads,
        "rms_norm_eps": sizes.norm_eps,
        "rope_parameters": rope,
        "rope_scaling": scaling if sizes.scaled else None,
        "rope_theta": sizes.rope_theta,
        "tie_word_embeddings": sizes.tied,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": sizes.vocabulary,
    }
    return config if sizes.vision is None else images.to_config(sizes.vision, config, dtype)


def from_config(values: Json, file: str, *, untied: bool = False) -> Sizes:
    """Reads a `config.json` of transformers 4 or 5.

    `untied` says that the output layer is not the embedding, whatever is said here: the weights
    have one that differs. Raises CheckpointError for what Meta's code would compute otherwise.
    """
    sizes = described(values, file)
    if untied:
        sizes = replace(sizes, tied=False)
    if sizes.vision is not None:
        values = images.from_config(values, file)[1]
    fields = Fields(values, file)
    rope, kept = _rope(fields, values), sizes.rope_parameters()
    if different := [name for name in sorted({*rope, *kept}) if rope.get(name) != kept.get(name)]:
        name = different[0]
        fields.refuse(
            f"{name!r} of the rotary embedding is {rope.get(name)!r}, and params.json can only say "
            f"{kept.get(name)!r} for this model"
            + (", whose output layer is not its embedding" if untied else "")
        )
    return sizes


def described(values: Json, file: str) -> Sizes:
    """The same, whatever the scaling of its rotary embedding."""
    vision = None
    if values.get("model_type") == images.MODEL_TYPE:
        vision, values = images.from_config(values, file)
    fields = Fields(values, file)
    fixed = {
        "model_type": ("llama", None),
        "hidden_act": ("silu", "silu"),
        "attention_bias": (False, False),
        "mlp_bias": (False, False),
    }
    for name, (needed, default) in fixed.items():
        if (value := values.get(name, default)) != needed:
            kind = kind_of_config(values) if name == "model_type" else ""
            fields.refuse(f"{name!r} is {value!r}, and Meta's code has {needed!r} alone{kind}")
    dim, heads = fields.take("hidden_size", int), fields.take("num_attention_heads", int)
    head_dim = fields.take("head_dim", int, dim // heads or 1)
    kv_heads = fields.take("num_key_value_heads", int, heads)
    if head_dim * heads != dim or head_dim % 2 or heads % kv_heads:
        fields.refuse(
            f"{heads} heads of {head_dim} dimensions, {kv_heads} of them for keys and values, are "
            f"not what Meta's code makes of {dim} dimensions"
        )
    rope = _rope(fields, values)
    return Sizes(
        dim=dim,
        layers=fields.take("num_hidden_layers", int),
        heads=heads,
        kv_heads=kv_heads,
        intermediate=fields.take("intermediate_size", int),
        vocabulary=fields.take("vocab_size", int),
        norm_eps=fields.take("rms_norm_eps", float),
        rope_theta=Fields(rope, file).take("rope_theta", float),
        scaled=rope["rope_type"] == ROPE_TYPE,
        tied=fields.take("tie_word_embeddings", bool, False),
        vision=vision,
    )


def _rope(fields: Fields, values: Json) -> Json:
    """The rotary embedding's parameters, whichever release of transformers wrote them."""
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        fields.refuse(f"the rotary embedding is {rope!r}, and must be an object")
    rope = dict(rope)
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type", "default")
    if "rope_theta" not in rope and values.get("rope_theta") is not None:
        rope["rope_theta"] = values["rope_theta"]
    return rope
