"""Agents' files: opened safely, or refused."""
