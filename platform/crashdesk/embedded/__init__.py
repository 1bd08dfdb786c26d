"""Launchers for the services CrashDesk needs, so that one command starts everything on one machine."""
