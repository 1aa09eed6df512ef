"""What Pairscope has several of, or could do without; the heart is in the files beside this folder."""

__version__ = "0.1.0"
