"""The commands that ask or tell a running gateway something: clients of its admin API, and nothing more."""
