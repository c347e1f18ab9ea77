"""The Generator stage: a leader, its gang of ranks, and the scheduler that decides the next step."""
