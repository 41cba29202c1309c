"""Tests of the replay memory: what comes out, what is kept, what is saved, what is refused."""
