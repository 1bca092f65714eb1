"""Files and progress reports of a run, and the state that it is resumed from."""
