"""Two files that Label Studio's own Python runs; nothing in CrashDesk imports them."""
