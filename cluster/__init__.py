"""Where a job runs: config, storage, contracts, ledger, engine, Ray session. Knows nothing of torch."""
