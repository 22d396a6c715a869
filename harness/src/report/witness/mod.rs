//! A violation as a picture: history and witness in, `witness.svg` and `witness.html` out.
//!
//! A pure function: no clock, no file, no font. What it draws is bounded (some twenty operations beside the witness, twelve rows), so
//! that its size does not depend on the history's. [`scene`] chooses, [`arrange`] and [`conflict`] explain, [`layout`] measures, [`draw`]
//! draws, [`page`] tells. It asks the witness which operations it is made of, and of what is no register what its heart is: whatever proved it
//! gets its picture.

mod arrange;
mod conflict;
mod draw;
mod labels;
mod layout;
mod page;
mod scene;
#[cfg(test)]
mod tests;
pub(super) mod words;

use squall_checker::history::History;
use squall_checker::linearizability::Witness;

use self::scene::Candidates;
use super::markup::style;
use super::tokens::{PICTURE, css};

/// The two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `witness.svg`: the picture with its own style.
    pub svg: String,
    /// `witness.html`: the same within a page that needs nothing else.
    pub html: String,
}

impl Picture {
    /// Draws a witness of this history; `None` if its operations are not in it.
    pub fn of(history: &History, witness: &Witness) -> Option<Picture> {
        let candidates = Candidates::of(history, witness)?;
        let (scene, layout) = layout::fit(&candidates);
        let name = format!("{} is not linearizable: {}", witness.key_name(), witness.sentence);
        let picture = draw::svg(&scene, &layout, &name);
        Some(Picture {
            svg: picture.clone().with(style(&css(PICTURE))).render(),
            html: page::page(history, witness, &scene, &layout, picture),
        })
    }
}
