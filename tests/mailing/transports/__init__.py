"""Tests of the transports, also with servers that behave badly."""
