"""Leads that failed or were not sent, kept with their raw rows in a folder that the user names, and read again."""
