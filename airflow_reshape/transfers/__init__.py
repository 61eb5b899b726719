"""From SQL to DATA Reshape."""
