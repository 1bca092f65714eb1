"""The style of pictures: colors, and matplotlib's settings for print."""
