//! How many operations of unknown outcome each configuration has used up: lists that many configurations share, as numbers.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::compared::Compared;

/// Class and count, sorted by class, none zero.
type List = Rc<[(u32, u32)]>;

/// Every list that a configuration may point to, how many of each class there are, and which classes are compared.
pub(super) struct Counts {
    lists: Vec<List>,
    totals: Vec<u32>,
    /// Never iterated: its order is nobody's.
    places: FxHashMap<List, u32>,
    /// Per class: how many were invoked.
    pub(super) available: Vec<u32>,
    compared: Compared,
    compares_totals: bool,
    compares_classes: bool,
    swept: usize,
}

/// The place of the empty list.
pub(super) const NONE: u32 = 0;

/// Fewer lists than these are not worth a sweep.
const SWEEP_MIN: usize = 1 << 12;

impl Counts {
    pub(super) fn new(compared: Compared) -> Counts {
        let mut counts = Counts {
            lists: Vec::new(),
            totals: Vec::new(),
            places: FxHashMap::default(),
            available: vec![0; compared.classes.len()],
            compares_totals: false,
            compares_classes: compared.classes.contains(&true),
            compared,
            swept: 0,
        };
        counts.place(&[]);
        counts
    }

    fn place(&mut self, list: &[(u32, u32)]) -> u32 {
        if let Some(&place) = self.places.get(list) {
            return place;
        }
        let place = self.lists.len() as u32;
        let list: List = list.into();
        self.totals.push(list.iter().map(|(_, count)| count).sum());
        self.lists.push(Rc::clone(&list));
        self.places.insert(list, place);
        place
    }

    pub(super) fn count(&self, list: u32, class: u32) -> u32 {
        let list = &self.lists[list as usize];
        list.binary_search_by_key(&class, |(class, _)| *class)
            .map_or(0, |place| list[place].1)
    }

    pub(super) fn total(&self, list: u32) -> u32 {
        self.totals[list as usize]
    }

    /// The list with one more of a class.
    pub(super) fn with_one(&mut self, list: u32, class: u32) -> u32 {
        let mut longer = self.lists[list as usize].to_vec();
        match longer.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(place) => longer[place].1 += 1,
            Err(place) => longer.insert(place, (class, 1)),
        }
        self.place(&longer)
    }

    /// The list without the classes that no longer matter.
    pub(super) fn without(&mut self, list: u32, matters: impl Fn(u32) -> bool) -> u32 {
        if self.lists[list as usize].iter().all(|(class, _)| matters(*class)) {
            return list;
        }
        let shorter: Vec<(u32, u32)> = self.lists[list as usize]
            .iter()
            .copied()
            .filter(|(class, _)| matters(*class))
            .collect();
        self.place(&shorter)
    }

    /// Whether `one` used up no more than `other`, as far as that is compared.
    pub(super) fn are_within(&self, one: u32, other: u32) -> bool {
        if self.compares_totals && self.total(one) > self.total(other) {
            return false;
        }
        let mut used = self.lists[one as usize].iter();
        !self.compares_classes || used.all(|&(class, count)| !self.is_compared(class) || count <= self.count(other, class))
    }

    /// Says at which event the sweep is.
    pub(super) fn at(&mut self, event: u32) {
        self.compares_totals = self.compared.compares_totals_at(event);
    }

    /// Whether what was used up of a class is always compared.
    pub(super) fn is_compared(&self, class: u32) -> bool {
        self.compared.classes[class as usize]
    }

    /// Bytes that it holds: each list stands in the table and in the map.
    pub(super) fn bytes(&self) -> usize {
        self.lists.len() * 4 * size_of::<List>() + self.lists.len() * self.lists.last().map_or(0, |list| size_of_val(&**list))
    }

    /// Whether at least half of the lists may be needless.
    pub(super) fn is_due(&self) -> bool {
        self.lists.len() > 2 * self.swept + SWEEP_MIN
    }

    /// Drops the lists that nobody points to, and gives the others their new places.
    pub(super) fn sweep<'a>(&mut self, used: impl Iterator<Item = &'a mut u32>) {
        let old = std::mem::take(&mut self.lists);
        self.totals.clear();
        self.places.clear();
        self.place(&[]);
        for list in used {
            *list = self.place(&old[*list as usize]);
        }
        self.swept = self.lists.len();
    }
}
