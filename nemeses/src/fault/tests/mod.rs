//! Tests of all kinds of faults together.

mod domains;
mod draws;
mod links;
mod rules;
mod spares;

fn nodes(n: usize) -> Vec<String> {
    (1..=n).map(|number| format!("n{number}")).collect()
}
