"""What a Llama 3.2 Vision model has besides a text model, in numbers: from and to both layouts.

Its text model is one of 3.1 with layers of cross-attention between its own. `params.json` has the
number of those and the size of a tile. The image encoder's sizes are written into Meta's code
(`CrossAttentionTransformerVision` and `VisionEncoder` in llama-models' `multimodal/model.py`), so
there is one encoder; transformers' `MllamaVisionConfig` has them as fields, with the same values.
"""

from dataclasses import dataclass
from typing import Any

from llama3_tok.torch.checkpoint.fields import Fields, Json
from llama3_tok.torch.checkpoint.tiles import ratios

IMAGE_TOKEN = "<|image|>"

# The rows of `learnable_embedding`, which are the ids after the vocabulary; the first is the image.
NEW_ROWS = 8

_CHUNK, _CHUNKS = "vision_chunk_size", "vision_max_num_chunks"
_CROSS = "vision_num_cross_attention_layers"

# The names of the configuration's parts, and of the classes that they are for.
MODEL_TYPE, TEXT_TYPE, VISION_TYPE = "mllama", "mllama_text_model", "mllama_vision_model"
PREPROCESSOR = "preprocessor_config.json"


@dataclass(frozen=True)
class Encoder:
    """The sizes of an image encoder; by default those in Meta's code."""

    width: int = 1280
    layers: int = 32
    global_layers: int = 8
    heads: int = 16
    patch: int = 14
    channels: int = 3
    tiles: int = 4
    taken: tuple[int, ...] = (3, 7, 15, 23, 30)
    """The layers whose input is part of the result."""

    @property
    def wide(self) -> int:
        """Of its feed-forward layers."""
        return 4 * self.width

    @property
    def output(self) -> int:
        """The width of the result."""
        return (1 + len(self.taken)) * self.width

    def fields(self) -> Json:
        """As `vision_config` has them."""
        return {
            "attention_heads": self.heads,
            "hidden_act": "gelu",
            "hidden_size": self.width,
            "intermediate_layers_indices": list(self.taken),
            "intermediate_size": self.wide,
            "max_num_tiles": self.tiles,
            "norm_eps": 1e-5,
            "num_channels": self.channels,
            "num_global_layers": self.global_layers,
            "num_hidden_layers": self.layers,
            "patch_size": self.patch,
            "supported_aspect_ratios": [list(ratio) for ratio in ratios(self.tiles)],
            "vision_output_dim": self.output,
        }


# The one that Meta's code has.
ENCODER = Encoder()


@dataclass(frozen=True)
class Vision:
    """What a model has to read images."""

    image: int
    """The pixels of a tile's side."""
    cross_layers: tuple[int, ...]
    """The text layers before which there is one of cross-attention."""
    encoder: Encoder

    @property
    def tokens(self) -> int:
        """Of a tile: its patches, and one for all of it."""
        return (self.image // self.encoder.patch) ** 2 + 1

    @property
    def cross_places(self) -> list[int]:
        """The layers of cross-attention, counted in one sequence with those of the text."""
        return [layer + before for before, layer in enumerate(self.cross_layers)]


def schedule(layers: int, cross: int) -> tuple[int, ...]:
    """The text layers before which Meta's code has one of cross-attention.

    They are spread evenly, counted from the last layer, as `_init_fusion_schedule` spreads them.

    >>> schedule(32, 8)
    (3, 7, 11, 15, 19, 23, 27, 31)
    """
    step = -(-layers // cross)
    return tuple(sorted(range(layers - 1, -1, -step)[:cross]))


def from_params(fields: Fields, layers: int) -> Vision | None:
    """Takes what `params.json` says of images; None if the model reads none."""
    if fields.without(_CHUNK, -1):  # what Meta's code has for a text model
        return None
    image, encoder = fields.take(_CHUNK, int), ENCODER
    cross = fields.take(_CROSS, int)
    chunks = fields.take(_CHUNKS, int, encoder.tiles)
    if cross > layers:
        fields.refuse(f"{_CROSS!r} is {cross}, and there are {layers} text layers")
    if chunks != encoder.tiles:
        fields.refuse(f"{_CHUNKS!r} is {chunks}, and the image encoder is made for {encoder.tiles}")
    _check_image(fields, _CHUNK, image)
    return Vision(image, schedule(layers, cross), encoder)


def to_params(vision: Vision) -> Json:
    """The fields that `params.json` has besides."""
    return {
        _CHUNK: vision.image,
        _CHUNKS: vision.encoder.tiles,
        _CROSS: len(vision.cross_layers),
    }


def from_config(values: Json, file: str) -> tuple[Vision, Json]:
    """What a `config.json` says of images, and its text model as that of a text model's says it.

    Raises CheckpointError for what Meta's code would compute otherwise.
    """
    fields, text = Fields(values, file), _part(values, "text_config", TEXT_TYPE, file)
    images = _part(values, "vision_config", VISION_TYPE, file)
    usual = Encoder().fields()  # transformers' defaults
    for name, needed in ENCODER.fields().items():
        if repr(value := images.get(name, usual[name])) != repr(needed):  # True is not 1
            fields.refuse(
                f"{name!r} of its vision_config is {repr(value)[:100]}, and Meta's code has "
                f"{needed!r} written into it"
            )
    image = Fields(images, file).take("image_size", int)
    _check_image(fields, "image_size", image)
    text_fields = Fields(text, file)
    layers = text_fields.take("num_hidden_layers", int)
    places = text.get("cross_attention_layers")
    if not isinstance(places, list) or not all(type(one) is int for one in places):
        fields.refuse(
            f"'cross_attention_layers' of its text_config is {repr(places)[:100]}, and must be a "
            "list of layers"
        )
    vision = Vision(image, tuple(one - before for before, one in enumerate(places)), ENCODER)
    own = layers - len(places)
    if not places or own < 1 or vision.cross_layers != schedule(own, len(places)):
        fields.refuse(
            f"its layers of cross-attention are {repr(places)[:100]} of {layers}, and Meta's code "
            "spreads them evenly, up to the last text layer"
        )
    rows = text_fields.take("vocab_size", int)
    if (token := fields.take("image_token_index", int, 128256)) != rows:
        fields.refuse(
            f"'image_token_index' is {token}, and Meta's code has the image right after the "
            f"{rows:,} ids of the vocabulary"
        )
    # Neither class has ever one tensor for both layers.
    return vision, {
        **text,
        "model_type": "llama",
        "num_hidden_layers": own,
        "tie_word_embeddings": False,
    }


def to_config(vision: Vision, text: Json, dtype: str) -> Json:
    """The `config.json`, from that of its text model as a text model's has it."""
    own = {name: value for name, value in text.items() if name not in _OF_LLAMA}
    types = {"dtype": dtype, "torch_dtype": dtype}
    return {
        "architectures": ["MllamaForConditionalGeneration"],
        "model_type": MODEL_TYPE,
        **types,
        "image_token_index": text["vocab_size"],
        "text_config": {
            **own,
            "model_type": TEXT_TYPE,
            "cross_attention_layers": vision.cross_places,
            "dropout": 0.0,
            "num_hidden_layers": text["num_hidden_layers"] + len(vision.cross_places),
        },
        "vision_config": {
            "model_type": VISION_TYPE,
            **types,
            **vision.encoder.fields(),
            "image_size": vision.image,
            "initializer_range": 0.02,
        },
        "tie_word_embeddings": False,
    }


# What a text model's configuration has, and that of this one's text model has not.
_OF_LLAMA = ("architectures", "attention_bias", "attention_dropout", "head_dim", "mlp_bias")


def preprocessor(vision: Vision) -> Json:
    """The `preprocessor_config.json`: how an image is cut into tiles.

    Meta's folder has none. These are the numbers in its code, `VariableSizeImageTransform`.
    """
    return {
        "image_processor_type": "MllamaImageProcessor",
        "processor_class": "MllamaProcessor",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "max_image_tiles": vision.encoder.tiles,
        "resample": 2,  # bilinear
        "rescale_factor": 1 / 255,
        "size": {"height": vision.image, "width": vision.image},
    }


def _check_image(fields: Fields, name: str, image: int) -> None:
    if image < ENCODER.patch:
        fields.refuse(f"{name!r} is {image}, and a patch has {ENCODER.patch} pixels")


def _part(values: Json, name: str, kind: str, file: str) -> Json:
    """One of the two parts of a configuration."""
    found: Any = values.get(name)
    if not isinstance(found, dict):
        Fields(values, file).refuse(f"its {name} is {repr(found)[:100]}, and must be an object")
    if (told := found.get("model_type", kind)) != kind:
        Fields(values, file).refuse(f"'model_type' of its {name} is {told!r}, and must be {kind!r}")
    return found
