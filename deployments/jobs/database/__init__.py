"""Where jobs are kept: connections, tables, their migrations, and the queries."""
