"""Training of the colorizer: recipes, data, the joint training of all variants, and the heads."""
