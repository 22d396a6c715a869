//! The reader on good, cut and broken files, and against the writer.

mod binary;
mod broken;
mod chunking;
mod good;
mod round_trip;
