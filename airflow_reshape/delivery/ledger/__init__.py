"""What was sent before: a ledger in a database, so that nothing is lost and nothing is sent twice without need."""
