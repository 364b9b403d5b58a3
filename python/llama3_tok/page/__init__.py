"""The page of a report: one HTML file that needs nothing else. `page.py` has what it guarantees."""

from llama3_tok.page.page import Page
from llama3_tok.page.rows import Token, TokenRow

__all__ = ["Page", "Token", "TokenRow"]
