"""What the five student reports measured (`experiments.toml`), and how each of their numbers is measured again."""
