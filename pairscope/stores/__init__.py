"""Other things that a store keeps than trades."""
