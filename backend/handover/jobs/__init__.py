"""The queue, and one module a job. Jobs take ids and open their own session."""
