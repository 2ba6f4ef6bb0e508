"""Business logic: rules about what the models found, frozen into an exported pipeline."""
