"""From files of text, or of conversations, to training files: `corpus`, `verify` and `inspect`.

A reader follows it in this order: `job.py` (what is wanted), `plan.py` (sections of the input),
`read.py` (chunks of a section; `documents.py` and `parquet.py` find the documents in them),
`shards.py` (chunks to shards), `manifest.py` (what was written), `run.py` (all of it), `engines.py`
(on which processors) and `written.py` (files that were written, read again).
"""

from llama3_tok.data.corpora.manifest import ManifestError
from llama3_tok.data.corpora.run import corpus
from llama3_tok.data.corpora.summary import Summary
from llama3_tok.data.corpora.written import Found, inspect, verify

__all__ = ["Found", "ManifestError", "Summary", "corpus", "inspect", "verify"]
