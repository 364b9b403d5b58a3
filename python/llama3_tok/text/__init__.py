"""Text to ids and back: what goes in, and what comes out."""
