"""Two reports side by side: it reads results and measures nothing."""
