//! What must hold in every setting and at every moment, sound or not: a version names one value; a replica never goes back; what a reply
//! shows is on the disk; an acknowledged put is on W disks; a definitely failed put is on none.

use squall_node::members::NodeIndex;
use squall_node::trace::TraceEvent;
use squall_node::version::Version;

use super::World;

impl World {
    /// What must hold in every setting, at every moment.
    pub(super) fn watch(&mut self, at: NodeIndex, event: &TraceEvent) {
        match event {
            TraceEvent::Assign { version, value_id, .. } => {
                let before = self.values.insert(version.clone(), value_id.to_string());
                assert_eq!(before, None, "version {version} was given twice");
            }
            TraceEvent::Put {
                key, version, value_id, ..
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
                    newest.get(key.as_ref()).is_none_or(|held| held <= version),
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
                let needed = if *f == "put" { self.setting.w } else { 1 };
                assert!(acks.len() >= needed, "{f} of {key} ended with {acks:?}");
            }
            _ => {}
        }
    }

    /// The node's disk holds this version of the key or a newer one, whatever happened to the node since.
    fn assert_on_disk(&self, node: &str, key: &str, version: &Version) {
        let at = self.config.members.index(node).unwrap();
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
