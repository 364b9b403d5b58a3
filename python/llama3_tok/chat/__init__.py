"""Conversations to ids, and answers back."""
