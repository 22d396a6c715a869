//! The quorum store in the simulator.

use squall_node::bugs::Planted;
use squall_node::members::{Members, NodeIndex, Text};
use squall_node::message::{Outcome as Answer, RequestBody};
use squall_node::quorum::{QuorumConfig, QuorumCore, VersionScheme};
use squall_node::ring::{Ring, VNODES_DEFAULT};
use squall_workloads::{Argument, ErrorNote, Function, Operation, Outcome, Seen};

use super::Store;
use crate::plan::node_names;
use crate::systems::quorum::{Settings, Versions, siblings};

/// A quorum cluster.
pub(in crate::sim) struct Quorum {
    /// Of each node.
    configs: Vec<QuorumConfig>,
    ring: Ring,
}

impl Quorum {
    /// # Errors
    /// A sentence with the number that does not fit.
    pub(in crate::sim) fn new(settings: &Settings) -> Result<Quorum, String> {
        let names = node_names(settings.nodes);
        let members = Members::new(names.iter().map(String::as_str))?;
        let planted = Planted::new(settings.bug)?;
        let domains: Vec<Text> = members
            .names()
            .iter()
            .filter_map(|name| settings.domains.get(&**name))
            .map(|domain| domain.as_str().into())
            .collect();
        let config = |me: NodeIndex| QuorumConfig {
            me,
            n: settings.n as usize,
            r: settings.r as usize,
            w: settings.w as usize,
            write_back: settings.write_back,
            versions: match settings.versions {
                Versions::Quorum => VersionScheme::Quorum,
                Versions::WallClock => VersionScheme::WallClock,
                Versions::CoordinatorLocal => VersionScheme::CoordinatorLocal,
                Versions::Hlc => VersionScheme::Hlc,
                Versions::Vector => VersionScheme::Vector,
            },
            version_read: settings.extras.version_read,
            digest_reads: settings.extras.digest_reads,
            upkeep: settings.extras.upkeep(),
            clock_offset_ms: settings.clock_offset_ms.get(members.name(me).as_ref()).copied().unwrap_or(0),
            vnodes: VNODES_DEFAULT,
            domains: domains.clone(),
            // What a node's command line has where nothing is given; a test holds them together.
            call_timeout_ms: 300,
            op_timeout_ms: 1000,
            planted,
            members: members.clone(),
        };
        let configs: Vec<QuorumConfig> = members.indices().map(config).collect();
        configs[0].check()?;
        let ring = Ring::new(&members, VNODES_DEFAULT).spread_over(&domains);
        Ok(Quorum { configs, ring })
    }
}

impl Store for Quorum {
    type Core = QuorumCore;

    fn members(&self) -> &Members {
        &self.configs[0].members
    }

    fn maker(&self, _seed: u64) -> Box<dyn Fn(NodeIndex, u64) -> QuorumCore> {
        let configs = self.configs.clone();
        Box::new(move |at, life| QuorumCore::new(configs[usize::from(at.0)].clone(), life))
    }

    fn replicas(&self, key: &str) -> Option<Vec<String>> {
        let homes = self.ring.homes(key, self.configs[0].n);
        Some(homes.into_iter().map(|home| self.members().name(home).to_string()).collect())
    }

    fn request(&self, operation: &Operation) -> RequestBody {
        let key = operation.key.clone();
        match operation.argument {
            Argument::Value(value) => RequestBody::Put {
                key,
                value: value.to_string().into(),
            },
            Argument::None if operation.f == Function::Write => RequestBody::Delete { key },
            Argument::None | Argument::Pair(..) => RequestBody::Get { key },
        }
    }

    fn outcome(&self, operation: &Operation, answer: Answer) -> Outcome {
        match (answer, operation.f) {
            (Answer::Value { value, .. }, Function::Read) => Outcome::Ok(Seen::from_text(value.as_deref())),
            (Answer::Siblings { values }, Function::Read) => Outcome::Ok(siblings(values.iter().map(|sibling| sibling.value.as_deref()))),
            (Answer::Stored { .. }, Function::Write) => Outcome::Ok(Seen::Nothing),
            (Answer::Failed { kind, message, .. }, _) => Outcome::Failed(ErrorNote::new(kind.to_string(), message.to_string())),
            (Answer::Unknown { kind, message }, _) => Outcome::Unknown(ErrorNote::new(kind.to_string(), message.to_string())),
            (other, _) => Outcome::Unknown(ErrorNote::new("wrong-reply", format!("{other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use clap::Parser;
    use squall_node::cli::{NodeCommand, Store as Command};

    use squall_node::quorum::Upkeep;

    use super::*;
    use crate::systems::quorum_extras::Extras;
    use crate::systems::{Cast, Member, NodeFiles, SystemPlan};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        node: NodeCommand,
    }

    #[test]
    fn a_simulated_node_has_the_parameters_of_a_started_one() {
        let settings = Settings {
            nodes: 5,
            n: 3,
            r: 1,
            w: 3,
            write_back: false,
            versions: Versions::WallClock,
            clock_offset_ms: BTreeMap::from([("n2".into(), -7)]),
            domains: (1..=5)
                .map(|number| (format!("n{number}"), format!("rack{}", number % 3)))
                .collect(),
            extras: Extras {
                digest_reads: true,
                anti_entropy_ms: Some(70),
                ..Extras::DEFAULT
            },
            bug: None,
        };
        let member = |number: u8| Member {
            id: format!("n{number}"),
            address: Ipv4Addr::new(10, 77, 0, number),
        };
        let members: Vec<Member> = (1..=5).map(member).collect();
        let files = NodeFiles {
            data: "data".into(),
            trace: "trace".into(),
            gate: None,
        };
        let system = SystemPlan::Quorum(settings.clone()).open().unwrap();
        let command = system.command(&members[1], Cast::from(&members[..]), &files);
        // The first word is `node`, which stands where a parser expects the program's name.
        let Command::Quorum(args) = Program::try_parse_from(&command.args).unwrap().node.store else {
            panic!("a quorum node was asked for");
        };
        let config = &Quorum::new(&settings).unwrap().configs[1];
        assert_eq!(config.members.name(config.me).as_ref(), args.node.id);
        assert_eq!((config.n, config.r, config.w), (args.n, args.r, args.w));
        assert_eq!(
            (config.write_back, config.versions, config.vnodes),
            (args.write_back, args.versions, args.vnodes)
        );
        assert_eq!((config.digest_reads, config.version_read), (args.digest_reads, args.version_read));
        let upkeep = Upkeep {
            anti_entropy_ms: args.anti_entropy_ms,
            hints: args.hints,
            reaping: args.reaping,
            reap_after_ms: args.reap_after_ms,
        };
        assert_eq!(config.upkeep, upkeep);
        assert_eq!(
            (config.clock_offset_ms, config.call_timeout_ms, config.op_timeout_ms),
            (args.clock_offset_ms, args.call_timeout_ms, args.op_timeout_ms)
        );
    }
}
