//! What must hold in every setting and at every moment, sound or not: a version names one value; a replica never goes back; what a reply
//! shows is on the disk; an acknowledged put is on W disks; a definitely failed put is on none.

use squall_node::members::NodeIndex;
use squall_node::trace::TraceEvent;
use squall_node::version::Version;

use super::World;

impl World {
    /// What must hold in every setting, at every moment.
    pub(super) fn watch(&mut self, at: NodeIndex, event: &TraceEvent) {
        self.count(event);
        match event {
            TraceEvent::Reap { key, version, replayed } => {
                let held = self.node(at).newest.remove(key.as_ref());
                assert!(*replayed || held.as_ref() == Some(version), "{at:?} reaped what it did not hold");
            }
            TraceEvent::Assign {
                version, value_id, vector, ..
            } => {
                if let Ok(value) = value_id.parse() {
                    self.record.vectors.insert(value, vector.clone());
                }
                let before = self.values.insert(version.clone(), value_id.to_string());
                assert_eq!(before, None, "version {version} was given twice");
            }
            TraceEvent::Put {
                key,
                version,
                value_id,
                vector,
                ..
            } => {
                assert_eq!(
                    self.values.get(version).map(String::as_str),
                    Some(value_id.as_ref()),
                    "version {version} names two values"
                );
                assert!(
                    !self.forbidden.contains(value_id.as_ref()),
                    "{value_id} is on a disk though its put failed definitely"
                );
                let newest = &mut self.node(at).newest;
                assert!(
                    // Of concurrent siblings the one with the smaller version may come later.
                    !vector.is_empty() || newest.get(key.as_ref()).is_none_or(|held| held <= version),
                    "{at:?} went back on {key} to {version}"
                );
                newest.insert(key.to_string(), version.clone());
            }
            TraceEvent::Get { key, replies, .. } => {
                for (node, version) in replies.iter().filter_map(|reply| Some((&reply.node, reply.version.as_ref()?))) {
                    self.assert_on_disk(node, key, version);
                }
            }
            TraceEvent::Done {
                f,
                key,
                outcome: "ok",
                version: Some(version),
                acks,
                ..
            } => {
                acks.iter().for_each(|node| self.assert_on_disk(node, key, version));
                let needed = if *f == "get" { 1 } else { self.setting.w };
                assert!(acks.len() >= needed, "{f} of {key} ended with {acks:?}");
            }
            _ => {}
        }
    }

    fn count(&mut self, event: &TraceEvent) {
        let name = match event {
            TraceEvent::Reap { .. } => "reap",
            TraceEvent::HintStore { .. } => "hint_store",
            TraceEvent::HintSend { .. } => "hint_send",
            TraceEvent::Repair { .. } => "repair",
            TraceEvent::Get { replies, .. } if replies.iter().any(|reply| !reply.siblings.is_empty()) => "siblings",
            _ => return,
        };
        *self.record.events.entry(name).or_default() += 1;
    }

    /// The node's disk holds this version of the key or a newer one, whatever happened to the node since.
    fn assert_on_disk(&self, node: &str, key: &str, version: &Version) {
        let at = self.config.members.index(node).unwrap();
        let reaped = self.nodes[usize::from(at.0)].disk.reaped.get(key);
        if reaped.is_some_and(|reaped| reaped >= version) {
            return; // It was there when the reply left.
        }
        let held = self.nodes[usize::from(at.0)]
            .disk
            .content
            .durable(key)
            .map(|stored| &stored.version);
        assert!(
            held.is_some_and(|held| held >= version),
            "{node} showed {key} {version}, its disk holds {held:?}"
        );
    }
}
