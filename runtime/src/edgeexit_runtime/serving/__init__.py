"""A bundle as a service over HTTP: by the Open Inference Protocol, and by image files."""
