"""The database: SQLAlchemy tables, Alembic migrations, and short query functions that take a session."""
