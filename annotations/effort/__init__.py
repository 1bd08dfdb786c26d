"""What reviewing costs: active time, what was changed, and what the draft saves against the control arm."""
