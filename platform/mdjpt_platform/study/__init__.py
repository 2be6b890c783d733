"""Studies: grids of runs, a ledger of what is done, and what the results say."""
