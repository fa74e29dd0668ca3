"""Tests of the open tables."""
