//! `squall check --proof` and `--verify`: the judge's word on every object as a file, and its replay without the judge.
//!
//! The file is JSON lines: a header that names the history by length and checksum and says by which model it was judged, then one object per
//! line. The verifier knows nothing of how a line was found; see `checker/src/linearizability/replay.rs`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use squall_checker::history::History;
use squall_checker::judge::Examination;
use squall_checker::linearizability::{ObjectProof, Options, Proved, replay};
use squall_checker::model::ModelChoice;

use super::history_file::{self, HistoryArgs};
use crate::exit::{self, usage};
use crate::report::stdout;
use crate::report::words::{plural, shown};

/// Version of the file's format.
const FORMAT: u32 = 1;

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// The first line of a proof.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    squall_proof: u32,
    history: HistoryName,
    /// The model by which it was judged.
    model: String,
    /// How many objects follow, one per line.
    n_objects: usize,
}

/// What tells one history from another: not a secret, a safeguard against mistaking files.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HistoryName {
    /// Length of the file.
    bytes: u64,
    /// FNV-1a of the file, 64 bits, as 16 hexadecimal digits.
    fnv1a64: String,
    /// How many operations it was read as.
    operations: usize,
}

impl HistoryName {
    fn of(path: &Path, history: &History) -> Result<HistoryName> {
        let unreadable = || format!("read `{}` once more", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let (mut bytes, mut hash) = (0_u64, 0xcbf2_9ce4_8422_2325_u64);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = file.read(&mut buffer).with_context(unreadable)?;
            if read == 0 {
                break;
            }
            bytes += read as u64;
            for byte in &buffer[..read] {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Ok(HistoryName {
            bytes,
            fnv1a64: format!("{hash:016x}"),
            operations: history.operations.len(),
        })
    }
}

/// Writes what proves the verdict of every object of a judged history.
pub(super) fn store(path: &Path, history_path: &Path, history: &History, examination: &Examination, options: &Options<'_>) -> Result<()> {
    let proofs = ObjectProof::of_all(history, examination.model, &examination.objects, options);
    let header = Header {
        squall_proof: FORMAT,
        history: HistoryName::of(history_path, history)?,
        model: examination.model.name().to_owned(),
        n_objects: proofs.len(),
    };
    let written = File::create(path).map(BufWriter::new).and_then(|mut out| {
        line(&mut out, &header)?;
        proofs.iter().try_for_each(|proof| line(&mut out, proof))?;
        out.flush()
    });
    written.map_err(|error| usage(format!("cannot write `{}`: {error}", path.display()), "name a file you may write"))
}

fn line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Replays a proof of a history, says what it proves, and returns the exit code.
pub(super) fn verify(path: &Path, history_path: &Path, reading: &HistoryArgs) -> Result<u8> {
    let (header, proofs) = read(path)?;
    let model = ModelChoice::named(&header.model).ok_or_else(|| wrong(path, 1, &format!("there is no model `{}`", header.model)))?;
    let history = history_file::read(history_path, reading)?;
    let name = HistoryName::of(history_path, &history)?;
    if header.history != name {
        let what = format!(
            "it is of a history of {} bytes, {} operations and checksum {}, and `{}` has {} bytes, {} operations and checksum {}",
            header.history.bytes,
            header.history.operations,
            shown(&header.history.fnv1a64),
            history_path.display(),
            name.bytes,
            name.operations,
            name.fnv1a64
        );
        return Err(wrong(path, 1, &what));
    }
    let objects = plural(proofs.len() as u64, "object");
    let (word, code, what) = match replay(&history, model, &proofs) {
        Ok(Proved::Valid) => (
            "PROVED VALID",
            exit::VALID,
            format!("{objects} by the model {}: every operation has its place", header.model),
        ),
        Ok(Proved::Invalid(invalid)) => (
            "PROVED INVALID",
            exit::INVALID,
            format!("{invalid} of {objects} by the model {} not linearizable", header.model),
        ),
        Ok(Proved::Open(what)) => ("NOT PROVED", exit::UNKNOWN, what),
        Err(error) => {
            // The header is line 1.
            let at = error.proof.map_or(1, |number| number as u64 + 2);
            return Err(wrong(path, at, &error.why));
        }
    };
    stdout::print(&format!("{word}  {}\n", shown(&what)));
    Ok(code)
}

fn wrong(path: &Path, line: u64, what: &str) -> anyhow::Error {
    let hint = "a proof holds for one file, read with the options it was read with when the proof was made";
    usage(
        format!("`{}`, line {line}: this proves nothing: {}", path.display(), shown(what)),
        hint,
    )
}

fn read(path: &Path) -> Result<(Header, Vec<ObjectProof>)> {
    let file = File::open(path).map_err(|error| usage(format!("cannot read `{}`: {error}", path.display()), ""))?;
    let mut lines = (1..).zip(BufReader::with_capacity(READ_BYTES, file).lines());
    let mut next = || -> Result<Option<(u64, String)>> {
        let Some((number, line)) = lines.next() else { return Ok(None) };
        let line = line.map_err(|error| wrong(path, number, &error.to_string()))?;
        Ok(Some((number, line)))
    };
    let (_, first) = next()?.ok_or_else(|| wrong(path, 1, "the file is empty"))?;
    let header: Header = serde_json::from_str(&first).map_err(|error| wrong(path, 1, &format!("it is no header of a proof: {error}")))?;
    if header.squall_proof != FORMAT {
        return Err(wrong(
            path,
            1,
            &format!("format {} is unknown, only {FORMAT} is", header.squall_proof),
        ));
    }
    let mut proofs = Vec::new();
    while let Some((number, line)) = next()? {
        let proof = serde_json::from_str(&line).map_err(|error| wrong(path, number, &format!("it is no proof of an object: {error}")))?;
        proofs.push(proof);
    }
    if proofs.len() != header.n_objects {
        let what = format!("{} objects are announced, and {} follow", header.n_objects, proofs.len());
        return Err(wrong(path, 1, &what));
    }
    Ok((header, proofs))
}
