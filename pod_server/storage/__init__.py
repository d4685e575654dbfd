"""The storage port, its SQLite adapter, the schema and one repository a subject."""
