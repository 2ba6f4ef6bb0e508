"""Run an exported pipeline over whole files: in shards that are done once, in any order, by any process."""
