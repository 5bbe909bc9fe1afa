"""azdab: AlphaZero for Dots and Boxes as a functional JAX program."""

__version__ = "0.1.0"
