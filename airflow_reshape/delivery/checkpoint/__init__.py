"""How far a send came, so that a retry without a ledger goes on where the last try stopped.

A position alone would lose leads, for the order of a SQL result is not stable. So the checkpoint holds digests of the
rows before it, and rows are passed over only where those agree.
"""
