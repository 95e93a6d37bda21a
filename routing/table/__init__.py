"""providers.toml as frozen values, with every problem at once and its place in the file."""
