"""From a plan and a step function to token sequences."""
