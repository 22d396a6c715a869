//! The changes that led to each configuration, and the order of all operations that they stand for.

use super::{Act, Register};

/// One change of the register: the change before it, what did it, and at which event.
#[derive(Debug, Clone, Copy)]
struct Step {
    before: u32,
    by: By,
    event: u32,
}

/// What changed the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The operation at this place of the register.
    Item(u32),
    /// Some operation of this class of unknown outcomes: which one is nobody's business until the end.
    Class(u32),
}

/// All steps that a living configuration rests on, and some more. Configurations share what they have in common.
pub(super) struct Trail {
    steps: Vec<Step>,
    swept: usize,
}

/// The trail of the beginning.
pub(super) const START: u32 = u32::MAX;

/// Fewer steps than these are not worth a sweep.
const SWEEP_MIN: usize = 1 << 16;

impl Trail {
    pub(super) fn new() -> Trail {
        Trail {
            steps: Vec::new(),
            swept: 0,
        }
    }

    pub(super) fn push(&mut self, before: u32, by: By, event: u32) -> u32 {
        self.steps.push(Step { before, by, event });
        self.steps.len() as u32 - 1
    }

    pub(super) fn bytes(&self) -> usize {
        self.steps.capacity() * size_of::<Step>()
    }

    /// Whether at least half of the steps may be needless.
    pub(super) fn is_due(&self) -> bool {
        self.steps.len() > 2 * self.swept + SWEEP_MIN
    }

    /// Drops the steps that none of the trails rests on, and gives the others their new numbers.
    pub(super) fn sweep<'a>(&mut self, trails: impl Iterator<Item = &'a mut u32>) {
        let trails: Vec<&mut u32> = trails.collect();
        let mut kept = vec![false; self.steps.len()];
        for trail in &trails {
            let mut at = **trail;
            while at != START && !std::mem::replace(&mut kept[at as usize], true) {
                at = self.steps[at as usize].before;
            }
        }
        let mut numbers = vec![START; self.steps.len()];
        let mut count = 0;
        for place in (0..self.steps.len()).filter(|&place| kept[place]) {
            let mut step = self.steps[place];
            // What comes before was pushed before, so it has its number already.
            step.before = numbers.get(step.before as usize).copied().unwrap_or(START);
            self.steps[count] = step;
            numbers[place] = count as u32;
            count += 1;
        }
        self.steps.truncate(count);
        self.swept = count;
        for trail in trails {
            *trail = numbers.get(*trail as usize).copied().unwrap_or(START);
        }
    }

    /// The changes that led to `trail`, in their order, each with its event.
    fn changes(&self, trail: u32) -> Vec<(By, u32)> {
        let mut changes = Vec::new();
        let mut at = trail;
        while at != START {
            let step = self.steps[at as usize];
            changes.push((step.by, step.event));
            at = step.before;
        }
        changes.reverse();
        changes
    }

    /// An order of the operations, by their places in the history. A change stands at the moment of its event, between two events; a read
    /// stands behind the first change that leaves its value in time, a write that was never visible directly before a write that was.
    pub(super) fn order(&self, trail: u32, register: &Register) -> Vec<u32> {
        let changes = self.changes(trail);
        let (invoked, returned) = register.event_numbers();
        let mut members: Vec<_> = register.classes.iter().map(|class| class.members.iter()).collect();
        let mut changed = vec![false; register.items.len()];
        // Per operation: the change it stands behind, whether it stands directly before the next one, its moment, its place.
        let mut order: Vec<(usize, bool, u32, u32)> = Vec::new();
        let mut values = vec![register.initial];
        let mut is_write = Vec::new();
        for (number, &(by, event)) in changes.iter().enumerate() {
            let item = match by {
                By::Item(item) => item,
                By::Class(class) => *members[class as usize]
                    .next()
                    .expect("no more of a class were used than there were"),
            };
            changed[item as usize] = true;
            values.extend(register.acts[item as usize].left());
            is_write.push(matches!(register.acts[item as usize], Act::Wrote(_)));
            order.push((number + 1, false, 0, item));
            debug_assert!(invoked[item as usize] <= event, "nothing happens before it is invoked");
        }
        // Behind change i it is from the event of i to that of i + 1.
        let behind = |event: u32| changes.partition_point(|(_, at)| *at < event);
        for item in (0..register.items.len()).filter(|&item| !changed[item]) {
            let last = |number: usize| number == 0 || changes[number - 1].1 <= returned[item];
            let mut numbers = (behind(invoked[item])..=changes.len()).take_while(|&number| last(number));
            let (number, before_next) = match register.acts[item] {
                Act::Saw(value) => (numbers.find(|&number| values[number] == value), false),
                Act::SawOther(value) => (numbers.find(|&number| values[number] != value), false),
                Act::Wrote(_) if returned[item] != u32::MAX => {
                    let visible = |&number: &usize| number < changes.len() && is_write[number] && changes[number].1 <= returned[item];
                    (numbers.find(visible), true)
                }
                _ => continue,
            };
            let number = number.expect("the search served every operation that returned");
            order.push((number, before_next, 1 + invoked[item], item as u32));
        }
        order.sort_unstable();
        order
            .into_iter()
            .filter_map(|(.., item)| register.items[item as usize].place)
            .collect()
    }
}
