"""One training run in several processes: who takes part, how they meet, and what they exchange."""
