"""The papers' tables, and studies of the same shape on other data, from recipes in TOML."""

from commonspace.benchmarks.reproduce.recipe import Recipe
from commonspace.benchmarks.reproduce.recipes import list_recipes, load_recipe, read_tuned
from commonspace.benchmarks.reproduce.run import reproduce

__all__ = ["Recipe", "list_recipes", "load_recipe", "read_tuned", "reproduce"]
