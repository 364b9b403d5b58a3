"""The page of `llama3-tok serve`; `app.py` has what it guarantees."""
