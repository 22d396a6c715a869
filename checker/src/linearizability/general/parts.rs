//! The history in parts that cannot influence one another: objects, joined where an operation spans several.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::problem::{Item, interval, meaning};
use crate::history::History;
use crate::history::operation::{KeyId, Operation};
use crate::model::{Call, Model, Touches, Value};

/// One part, in the order of its first operation.
pub(super) struct Part<Op> {
    /// Its first key.
    pub(super) key: Option<KeyId>,
    /// Its keys, and the element if it is a part of one.
    pub(super) name: String,
    /// The places of all its operations, whatever their outcome.
    pub(super) places: Vec<u32>,
    /// Those that say something.
    pub(super) items: Vec<(Item, Op)>,
    /// The place of the first operation that the model does not know.
    pub(super) foreign: Option<u32>,
}

/// Splits a history by what its operations touch.
pub(super) fn split<M: Model>(history: &History, model: &M) -> Vec<Part<M::Op>> {
    let mut nodes = Nodes::of(history);
    let mut read = Vec::with_capacity(history.operations.len());
    for operation in &history.operations {
        let call = Call::of(history, operation);
        let op = meaning(model, &call);
        let node = match (&op, model.touches(&call)) {
            // What says nothing joins nothing.
            (Ok(None), _) => nodes.object(operation),
            // What nobody knows may have changed all of its object, and without a key any object.
            (Err(_), touches) => {
                nodes.touches_any |= operation.key.is_none() || touches == Touches::Any;
                nodes.whole(operation)
            }
            (_, Touches::Any) => {
                nodes.touches_any = true;
                nodes.whole(operation)
            }
            (_, Touches::Key) => nodes.whole(operation),
            (_, Touches::Member(value)) => nodes.member(operation, value),
            (_, Touches::Keys(names)) => nodes.joined(history, operation, &names),
        };
        read.push((node, op));
    }
    nodes.join_members();
    let mut parts: Vec<Part<M::Op>> = Vec::new();
    let mut places: FxHashMap<u32, usize> = FxHashMap::default();
    for (place, (operation, (node, op))) in (0..).zip(history.operations.iter().zip(read)) {
        let root = nodes.root(node);
        let part = *places.entry(root).or_insert_with(|| {
            parts.push(Part {
                key: operation.key,
                name: String::new(),
                places: Vec::new(),
                items: Vec::new(),
                foreign: None,
            });
            parts.len() - 1
        });
        let part = &mut parts[part];
        part.places.push(place);
        match op {
            Ok(Some(op)) => {
                let (invoked_ns, returned_ns) = interval(history, operation);
                let item = Item {
                    place,
                    invoked_ns,
                    returned_ns,
                    class: 0,
                };
                part.items.push((item, op));
            }
            Ok(None) => {}
            Err(_) => part.foreign = part.foreign.or(Some(place)),
        }
    }
    name(&mut parts, &places, &mut nodes, history);
    // An object whose elements are judged one by one has nothing of its own left but operations that say nothing.
    let split = |part: &Part<M::Op>| part.items.is_empty() && part.foreign.is_none() && nodes.has_members(part.key);
    parts.retain(|part| !split(part));
    parts
}

/// Keys that a part's name spells out.
const NAMES_MAX: usize = 10;

fn name<Op>(parts: &mut [Part<Op>], places: &FxHashMap<u32, usize>, nodes: &mut Nodes, history: &History) {
    let mut names: Vec<Vec<String>> = vec![Vec::new(); parts.len()];
    let named: Vec<(String, u32)> = nodes.names(history);
    for (name, node) in named {
        if let Some(&part) = places.get(&nodes.root(node)) {
            names[part].push(name);
        }
    }
    for ((value, object), node) in nodes.members.clone() {
        let alone = !nodes.read_whole[object as usize];
        if let Some(&part) = places.get(&nodes.root(node)).filter(|_| alone) {
            let key = parts[part].key.and_then(|key| history.keys.get(key.index())).unwrap_or_default();
            names[part].push(format!("{key}/{value}"));
        }
    }
    for (part, names) in parts.iter_mut().zip(names) {
        part.name = match names.len().checked_sub(NAMES_MAX) {
            None | Some(0) => names.join(", "),
            Some(more) => format!("{}, … {more} more", names[..NAMES_MAX].join(", ")),
        };
    }
}

/// A union-find over objects and members. Node 0 is the object without a key, then the keys follow, then what is only named within values.
struct Nodes {
    parents: Vec<u32>,
    /// Whether an operation touches the whole object, by object.
    read_whole: Vec<bool>,
    touched: Vec<bool>,
    /// Whether an operation may touch anything, which makes one object of all.
    touches_any: bool,
    members: BTreeMap<(Value, u32), u32>,
    named: BTreeMap<String, u32>,
}

impl Nodes {
    fn of(history: &History) -> Nodes {
        let objects = history.keys.len() + 1;
        Nodes {
            parents: (0..objects as u32).collect(),
            read_whole: vec![false; objects],
            touched: vec![false; objects],
            touches_any: false,
            members: BTreeMap::new(),
            named: BTreeMap::new(),
        }
    }

    fn object(&mut self, operation: &Operation) -> u32 {
        operation.key.map_or(0, |key| key.index() as u32 + 1)
    }

    fn whole(&mut self, operation: &Operation) -> u32 {
        let object = self.object(operation);
        self.read_whole[object as usize] = true;
        self.touched[object as usize] = true;
        object
    }

    fn member(&mut self, operation: &Operation, value: Value) -> u32 {
        let object = self.object(operation);
        let next = self.parents.len() as u32;
        let node = *self.members.entry((value, object)).or_insert(next);
        if node == next {
            self.parents.push(next);
        }
        node
    }

    fn joined(&mut self, history: &History, operation: &Operation, names: &[String]) -> u32 {
        let mut first = None;
        for name in names {
            let node = match history.keys.find(name) {
                Some(place) => {
                    self.touched[place + 1] = true;
                    place as u32 + 1
                }
                None => {
                    let next = self.parents.len() as u32;
                    let node = *self.named.entry(name.clone()).or_insert(next);
                    if node == next {
                        self.parents.push(next);
                    }
                    node
                }
            };
            let first = *first.get_or_insert(node);
            self.unite(first, node);
        }
        first.unwrap_or_else(|| self.object(operation))
    }

    fn join_members(&mut self) {
        if self.touches_any {
            (1..self.parents.len() as u32).for_each(|node| self.unite(0, node));
        }
        for ((_, object), node) in self.members.clone() {
            if self.read_whole[object as usize] {
                self.unite(object, node);
            }
        }
    }

    fn names(&self, history: &History) -> Vec<(String, u32)> {
        let keys = (1..).zip(history.keys.iter()).map(|(node, name)| (name.to_owned(), node));
        let keys = keys.filter(|(_, node)| self.touched[*node as usize]);
        keys.chain(self.named.iter().map(|(name, &node)| (name.clone(), node))).collect()
    }

    fn has_members(&self, key: Option<KeyId>) -> bool {
        let object = key.map_or(0, |key| key.index() + 1);
        !self.read_whole[object] && self.members.keys().any(|(_, of)| *of as usize == object)
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.parents[node as usize] != node {
            let grandparent = self.parents[self.parents[node as usize] as usize];
            self.parents[node as usize] = grandparent;
            node = grandparent;
        }
        node
    }

    fn unite(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        // The smaller number is the root, whatever the order of the calls.
        self.parents[one.max(other) as usize] = one.min(other);
    }
}
