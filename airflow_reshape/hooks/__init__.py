"""The connection to DATA Reshape, and sending over it."""
