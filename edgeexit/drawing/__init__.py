"""How pictures look: colours, and matplotlib's settings for print."""
