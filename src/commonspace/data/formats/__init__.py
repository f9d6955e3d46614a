"""Readers of foreign files: tables of items, and containers of arrays."""
