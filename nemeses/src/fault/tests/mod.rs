//! Tests of all kinds of faults together.

mod domains;
mod draws;
mod links;
mod rules;
mod several;
mod spares;
mod struck;

fn nodes(n: usize) -> Vec<String> {
    (1..=n).map(|number| format!("n{number}")).collect()
}
