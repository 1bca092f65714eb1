"""Operating-system services: files, locks, forks, signals, the machine."""
