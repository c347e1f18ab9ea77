"""`python -m deployments.cli` is the `cosmos3` command."""

from deployments.cli.main import main

main()
