"""How fast and how good we are: recipes run and compared, speed as ratios timed in turn."""
