"""Recipes: which corruptions there are, how strong, how often. TOML files, checked and compiled to integer tables."""

from .loader import load_recipe, recipe_names
from .recipe import Recipe, Row

__all__ = ["Recipe", "Row", "load_recipe", "recipe_names"]
