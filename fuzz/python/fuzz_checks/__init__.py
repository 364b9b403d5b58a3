"""What the fuzz targets in Python check. Each module is a target.

Its `check` takes any bytes, and raises where the package is wrong: an exception that is not
documented, or a result that is not the one that another way gives. Its `seeds` are inputs to begin
with, by their names. A target needs neither a fuzzer nor a vocabulary besides the small one.

    gguf_file      a GGUF file                   VocabularyError, or a tokenizer
    answer         a model's answer as text      no exception; streamed = whole, however divided
    answer_ids     a model's answer as ids       InvalidTokenId; streamed = whole
    manifest       a corpus with a manifest      ManifestError and what `verify` documents
    pth_table      a `.pth` file, its table      CheckpointError, or arrays within the file
    folder         a model's folder              VocabularyError, or texts that come back
    template       a chat template               ChatFormatError; no text becomes a special token
    conversation   messages and tools            ChatFormatError, ...; what is rendered is decoded
    surface        any call of anything public   what is documented
"""

TARGETS = (
    "gguf_file",
    "answer",
    "answer_ids",
    "manifest",
    "pth_table",
    "folder",
    "template",
    "conversation",
    "surface",
)
