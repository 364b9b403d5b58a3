"""One class for each library that is measured."""
