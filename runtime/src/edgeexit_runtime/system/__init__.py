"""What is asked of the operating system: files, locks, forks, signals, memory."""
