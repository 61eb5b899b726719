"""``@task.reshape``."""
