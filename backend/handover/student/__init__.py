"""The student: a small spaCy pipeline per aspect. Recipes, training, files, inference and export."""
