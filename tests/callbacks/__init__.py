"""Tests of the callbacks, in trainings that take seconds."""
