//! The one way in which these tests ask for a verdict: bytes are read, the answer's proof is verified, and only then does a test see it.

use squall_checker::history::History;
use squall_checker::linearizability::general::verify as general_verify;
use squall_checker::linearizability::general::{Answer, Confirmed, ModelChoice, ModelResult, Options, check_model};
use squall_checker::linearizability::{KeyResult, Witness, check, linearization, verify};
use squall_checker::model::{CasRegister, Counter, Kv, Model, Mutex, Queue, Register, Set};
use squall_checker::verdict::Verdict;

/// A verdict and how each object was decided.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) algorithms: Vec<(&'static str, Verdict)>,
}

/// What is wrong with an answer whose proof does not hold.
type Unproved = String;

impl Judged {
    fn of(algorithms: Vec<(&'static str, Verdict)>) -> Judged {
        Judged {
            verdict: Verdict::merge(algorithms.iter().map(|&(_, verdict)| verdict)),
            algorithms,
        }
    }
}

/// The verdict on registers by the algorithms made for them, with every proof verified.
pub(crate) fn as_registers(history: &History) -> Result<Judged, Unproved> {
    let results = check(history);
    for result in &results {
        prove_register(history, result).map_err(|why| format!("{why}: {result:?}"))?;
    }
    Ok(Judged::of(
        results.iter().map(|result| (result.algorithm, result.verdict)).collect(),
    ))
}

fn prove_register(history: &History, result: &KeyResult) -> Result<(), Unproved> {
    let order = linearization(history, result.key);
    match (result.verdict, &result.certificate, order) {
        (Verdict::Valid, None, Some(order)) => {
            verify::valid(history, result.key, &order).map_err(|rejection| format!("{rejection}, {order:?}"))
        }
        (Verdict::Invalid, Some(certificate), None) => {
            verify::invalid(history, result.key, certificate).map_err(|rejection| rejection.to_string())?;
            let witness = Witness::of(history, result).ok_or("there is no witness")?;
            reproduces(&witness)
        }
        _ => Err("neither proved nor refuted".to_owned()),
    }
}

/// The witness is a history that is invalid by itself.
fn reproduces(witness: &Witness) -> Result<(), Unproved> {
    let lines = witness.history_lines();
    let alone = History::read(lines.as_slice()).map_err(|error| error.to_string())?;
    let invalid = check(&alone).iter().any(|result| result.verdict == Verdict::Invalid);
    invalid.then_some(()).ok_or("the witness alone is no violation".to_owned())
}

/// Largest window of a refusal that must be confirmed by trying all its orders. Counters cannot leave additions out, so theirs may be larger.
const WINDOW_TRIED_MAX: usize = 20;

/// Configurations that trying all orders of a window may take.
const CONFIGURATIONS_MAX: usize = 1_000_000;

/// The verdict by a model, with every proof verified.
pub(crate) fn by_model(history: &History, choice: ModelChoice) -> Result<Judged, Unproved> {
    let results = check_model(history, choice, &Options::default());
    for result in &results {
        let proof = match choice {
            ModelChoice::Register => prove(history, &Register, result),
            ModelChoice::CasRegister => prove(history, &CasRegister, result),
            ModelChoice::Kv => prove(history, &Kv, result),
            ModelChoice::Counter => prove(history, &Counter, result),
            ModelChoice::Set => prove(history, &Set, result),
            ModelChoice::Queue => prove(history, &Queue, result),
            ModelChoice::Mutex => prove(history, &Mutex, result),
        };
        proof.map_err(|why| format!("{why}: {result:?}"))?;
    }
    let algorithm = |result: &ModelResult| (result.algorithm, result.answer.verdict());
    Ok(Judged::of(results.iter().map(algorithm).collect()))
}

fn prove<M: Model>(history: &History, model: &M, result: &ModelResult) -> Result<(), Unproved> {
    match &result.answer {
        Answer::Valid(order) => general_verify::valid(history, model, &result.places, order).map_err(|rejection| rejection.to_string()),
        Answer::Invalid(refusal) => {
            let by_search = refusal.confirmed == Confirmed::BySecondSearch && refusal.window.len() > WINDOW_TRIED_MAX;
            match general_verify::invalid(history, model, &result.places, refusal, CONFIGURATIONS_MAX) {
                Err(rejection) if !by_search => Err(rejection.to_string()),
                _ => Ok(()),
            }
        }
        Answer::Unknown(_) => Err("neither proved nor refuted".to_owned()),
    }
}
