"""What people say to each other about a case or a moment of it."""
