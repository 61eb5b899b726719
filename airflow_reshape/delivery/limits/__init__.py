"""How many requests at a time and how many a second. Pure: time comes in as an argument, in seconds of any clock."""
