"""Components that leave with an exported pipeline: each module imports spaCy and the standard library alone."""
