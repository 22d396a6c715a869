//! Whether the judge is right, from bytes to verdict, by its public interface alone: against all orders of a million small histories,
//! against thousands of planted faults, and against whatever bytes there are.

#[path = "../common/certain.rs"]
mod certain;
mod hostile;
mod judged;
mod lines;
mod million;
mod oracle;
mod planted_objects;
mod planted_registers;
mod random;
#[path = "../common/simulate.rs"]
mod simulate;
