"""Tests of bounces and complaints."""
