"""Files that hold a tokenizer: written, and one kind made from another."""
