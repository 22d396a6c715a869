//! The disk against models that know nothing of it.

mod cases;
mod legal;
mod model;
mod random;
