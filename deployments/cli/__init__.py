"""The `cosmos3` command and the client that it uses."""
