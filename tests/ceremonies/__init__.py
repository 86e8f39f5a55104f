"""Tests of the ceremonies: each attack of the catalogue that a pure function can meet."""
