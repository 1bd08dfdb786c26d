"""How far answers lie apart, and how far they agree beyond chance. Plain Python: arrays in, numbers out."""
