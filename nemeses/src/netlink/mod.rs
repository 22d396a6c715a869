//! Talking to the kernel's network tables without any program.
//!
//! Two protocols share one framing: rtnetlink (links, addresses, routes, policy rules, traffic control) and nfnetlink (nftables, packet queues). Both need only a
//! header, a fixed part and nested attributes, so [`wire`] writes them directly; the crates of the netlink-packet family cost a third of this
//! crate's build and know neither our veth form nor nftables.
//!
//! - [`wire`]: messages out, attributes in
//! - [`socket`]: requests, dumps, atomic batches; errors with the kernel's own words
//! - [`links`]: veth pairs, addresses and routes, for whoever builds the star; [`overlay`]: VXLAN above them
//! - [`queue`]: packets that netfilter hands to us
//! - [`traffic`]: queueing disciplines, for whoever makes its links bad

pub mod links;
pub mod overlay;
pub mod queue;
pub mod socket;
pub mod traffic;
pub mod wire;

pub use socket::Netlink;
