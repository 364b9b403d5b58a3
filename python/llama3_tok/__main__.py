"""`python -m llama3_tok` is `llama3-tok`."""

import sys

from llama3_tok.cli import main

if __name__ == "__main__":
    sys.exit(main())
