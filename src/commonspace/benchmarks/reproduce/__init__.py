"""The papers' tables, and studies of the same shape on other data, from recipes in TOML."""

from commonspace.benchmarks.reproduce.recipe import Recipe, check_taken, narrowed
from commonspace.benchmarks.reproduce.recipes import list_recipes, load_recipe
from commonspace.benchmarks.reproduce.run import absent, reproduce

__all__ = [
    "Recipe",
    "absent",
    "check_taken",
    "list_recipes",
    "load_recipe",
    "narrowed",
    "reproduce",
]
