"""The database of jobs: connections, tables, their migrations, and the queries."""
