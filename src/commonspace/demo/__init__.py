"""The demo: emoji as a multilingual, multimodal collection, made from PyPI packages alone."""
