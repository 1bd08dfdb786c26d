"""Labels that deserve a second look, ranked."""
