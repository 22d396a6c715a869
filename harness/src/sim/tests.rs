//! Plans in the simulator: sound settings are valid, unsound ones are found, and a seed does the same twice.
