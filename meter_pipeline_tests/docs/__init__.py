"""What the README and the pages of `docs/` say is true: snippets run, links lead somewhere, settings are complete."""
