//! Traffic control: queueing disciplines, their classes, and the filter that picks one (`man 8 tc`, linux/pkt_sched.h).
//!
//! Times go over the wire in ticks of 64 ns (`PSCHED_SHIFT`), or as nanoseconds where an attribute of 64 bits exists; shares as parts of 2^32.

use std::net::Ipv4Addr;

use super::socket::{CREATE, EXCLUSIVE, Netlink, REPLACE};
use super::wire::Message;
use crate::Result;

/// Where a qdisc or a class is: `major:minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handle(u32);

impl Handle {
    /// Of a qdisc (minor 0) or of a class of it.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Handle {
        Handle((major as u32) << 16 | minor as u32)
    }

    /// The parent of an interface's root qdisc.
    pub const ROOT: Handle = Handle(u32::MAX);
    /// Left to the kernel.
    pub const ANY: Handle = Handle(0);
}

/// A qdisc of one kind, with what is to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Qdisc {
    /// Hierarchical token bucket: passes what no filter gives a class at once. Its packets are measured without their Ethernet header.
    Htb,
    /// Token bucket.
    Tbf(Bucket),
    /// Delay, loss and damage.
    Netem(Netem),
}

/// A token bucket of one full packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its pace.
    pub bytes_per_s: u64,
    /// What may wait in front of it, in bytes.
    pub queue_bytes: u32,
}

/// What netem does to packets. Shares are parts of 2^32.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Netem {
    /// Delay of each packet.
    pub delay_ns: i64,
    /// How far the delay of a packet is from that: at most so much, evenly; with `table`, as that says.
    pub spread_ns: i64,
    /// Multiples of the spread, in 8192ths, of which each packet draws one.
    pub table: Vec<i16>,
    /// Whether packets stay in order whatever their delays.
    pub in_order: bool,
    /// Loss.
    pub loss: Loss,
    /// Packets of which a bit is turned.
    pub corrupt: u32,
}

/// Which packets netem loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Each by itself.
    Random(u32),
    /// Gilbert–Elliott: the link is good or bad.
    Bursts {
        /// From good to bad, at each packet.
        enter: u32,
        /// From bad to good, at each packet.
        leave: u32,
        /// Packets that pass a bad link.
        bad_passes: u32,
        /// Packets lost on a good link.
        good_loses: u32,
    },
}

impl Default for Loss {
    fn default() -> Loss {
        Loss::Random(0)
    }
}

// linux/rtnetlink.h
const ATTRIBUTE_KIND: u16 = 1;
const ATTRIBUTE_OPTIONS: u16 = 2;
const ATTRIBUTE_SIZE_TABLE: u16 = 8;
// linux/pkt_sched.h
const SIZE_TABLE_BASE: u16 = 1;
const HTB_CLASS: u16 = 1;
const HTB_INIT: u16 = 2;
const HTB_RATE64: u16 = 6;
const HTB_CEIL64: u16 = 7;
const HTB_VERSION: u32 = 3;
const HTB_RATE_TO_QUANTUM: u32 = 10;
const TBF_PARAMETERS: u16 = 1;
const TBF_RATE64: u16 = 4;
const TBF_BURST: u16 = 6;
const NETEM_DELAY_TABLE: u16 = 2;
const NETEM_CORRUPT: u16 = 4;
const NETEM_LOSS: u16 = 5;
const NETEM_RATE: u16 = 6;
const NETEM_DELAY64: u16 = 10;
const NETEM_SPREAD64: u16 = 11;
const NETEM_LOSS_BURSTS: u16 = 2;
const LINK_LAYER_ETHERNET: u8 = 1;
// linux/pkt_cls.h
const U32_CLASS: u16 = 1;
const U32_SELECTOR: u16 = 5;
const U32_TERMINAL: u8 = 1;
const ETHERTYPE_IPV4: u16 = 0x0800;

/// Offset of the source in the IPv4 header (RFC 791, section 3.1).
const SOURCE: u32 = 12;
const ETHERNET_HEADER: i32 = 14;
/// A full packet.
const PACKET_BYTES: u32 = 1500;
/// 80 Gbit/s: no veth pair is faster, so a class of this pace holds nothing back.
const FREE_BYTES_PER_S: u64 = 10_000_000_000;
/// 10 ms at that pace, in ticks.
const FREE_BUCKET: u32 = 10_000_000 / 64;
/// Packets that netem may hold: a second of 100,000 a second. Beyond, it drops.
const NETEM_PACKETS: u32 = 100_000;

impl Netlink {
    /// Makes a qdisc below `parent`, or changes the parameters of the one that is there, which keeps what is queued in it.
    ///
    /// # Errors
    /// If the kernel has no such kind, or another is there under that handle.
    pub fn set_qdisc(&mut self, link: u32, parent: Handle, handle: Handle, qdisc: &Qdisc) -> Result<()> {
        let request = Message::new(libc::RTM_NEWQDISC, CREATE | REPLACE).fixed(&place(link, handle, parent, 0));
        let request = qdisc.describe(request);
        self.request(&format!("set qdisc {} of link {link}", qdisc.kind()), request)?;
        Ok(())
    }

    /// Removes a qdisc with what is queued in it.
    ///
    /// # Errors
    /// If there is none.
    pub fn delete_qdisc(&mut self, link: u32, parent: Handle) -> Result<()> {
        let request = Message::new(libc::RTM_DELQDISC, 0).fixed(&place(link, Handle::ANY, parent, 0));
        self.request(&format!("delete a qdisc of link {link}"), request)?;
        Ok(())
    }

    /// Makes a class of an HTB qdisc that holds nothing back by itself.
    ///
    /// # Errors
    /// If the qdisc is none of HTB, or has that class.
    pub fn add_class(&mut self, link: u32, parent: Handle, class: Handle) -> Result<()> {
        let request = Message::new(libc::RTM_NEWTCLASS, CREATE | EXCLUSIVE)
            .fixed(&place(link, class, parent, 0))
            .text(ATTRIBUTE_KIND, "htb")
            .nest(ATTRIBUTE_OPTIONS, |options| {
                options
                    .attribute(HTB_CLASS, &htb_class())
                    .attribute(HTB_RATE64, &FREE_BYTES_PER_S.to_ne_bytes())
                    .attribute(HTB_CEIL64, &FREE_BYTES_PER_S.to_ne_bytes())
            });
        self.request(&format!("add a class of link {link}"), request)?;
        Ok(())
    }

    /// Sends what comes from `source` to a class. `preference` names the filter.
    ///
    /// # Errors
    /// If the kernel has no u32 classifier, or a filter of that preference is there.
    pub fn add_source_filter(&mut self, link: u32, parent: Handle, preference: u16, source: Ipv4Addr, class: Handle) -> Result<()> {
        let request = Message::new(libc::RTM_NEWTFILTER, CREATE | EXCLUSIVE)
            .fixed(&place(link, Handle::ANY, parent, filter(preference)))
            .text(ATTRIBUTE_KIND, "u32")
            .nest(ATTRIBUTE_OPTIONS, |options| {
                options
                    .attribute(U32_CLASS, &class.0.to_ne_bytes())
                    .attribute(U32_SELECTOR, &selector(source))
            });
        self.request(&format!("add a filter of link {link} for {source}"), request)?;
        Ok(())
    }

    /// Takes that filter away.
    ///
    /// # Errors
    /// If there is none.
    pub fn delete_filter(&mut self, link: u32, parent: Handle, preference: u16) -> Result<()> {
        let request = Message::new(libc::RTM_DELTFILTER, 0).fixed(&place(link, Handle::ANY, parent, filter(preference)));
        self.request(&format!("delete a filter of link {link}"), request)?;
        Ok(())
    }
}

impl Qdisc {
    /// Its name in the kernel.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Qdisc::Htb => "htb",
            Qdisc::Tbf(_) => "tbf",
            Qdisc::Netem(_) => "netem",
        }
    }

    fn describe(&self, request: Message) -> Message {
        let request = request.text(ATTRIBUTE_KIND, self.kind());
        match self {
            Qdisc::Htb => {
                let global = [HTB_VERSION, HTB_RATE_TO_QUANTUM, 0, 0, 0];
                request
                    .nest(ATTRIBUTE_OPTIONS, |options| options.attribute(HTB_INIT, &numbers(&global)))
                    .nest(ATTRIBUTE_SIZE_TABLE, |table| table.attribute(SIZE_TABLE_BASE, &size_table()))
            }
            Qdisc::Tbf(bucket) => request.nest(ATTRIBUTE_OPTIONS, |options| bucket.describe(options)),
            Qdisc::Netem(netem) => request.nest(ATTRIBUTE_OPTIONS, |options| netem.describe(options)),
        }
    }
}

impl Bucket {
    /// `struct tc_tbf_qopt`: rate, peak rate, limit, and two that attributes say better.
    fn describe(&self, options: Message) -> Message {
        let parameters = [&rate(self.bytes_per_s)[..], &[0; 12], &numbers(&[self.queue_bytes, 0, 0])].concat();
        options
            .attribute(TBF_PARAMETERS, &parameters)
            .attribute(TBF_RATE64, &self.bytes_per_s.to_ne_bytes())
            .u32(TBF_BURST, PACKET_BYTES)
    }
}

impl Netem {
    /// `struct tc_netem_qopt`: delay, limit, loss, gap, duplicates, spread; then attributes. All that a change may set is said each time: what is
    /// left out keeps its old value.
    fn describe(&self, options: Message) -> Message {
        let random = match self.loss {
            Loss::Random(share) => share,
            Loss::Bursts { .. } => 0,
        };
        // A pace of 4 GB/s: netem counts each packet's delay from the end of the one before it as soon as there is a pace.
        let pace = if self.in_order { u32::MAX } else { 0 };
        let options = options
            .fixed(&numbers(&[0, NETEM_PACKETS, random, 0, 0, 0]))
            .attribute(NETEM_DELAY64, &self.delay_ns.to_ne_bytes())
            .attribute(NETEM_SPREAD64, &self.spread_ns.to_ne_bytes())
            .attribute(NETEM_CORRUPT, &numbers(&[self.corrupt, 0]))
            .attribute(NETEM_RATE, &numbers(&[pace, 0, 0, 0]));
        let options = match self.loss {
            Loss::Random(_) => options,
            Loss::Bursts {
                enter,
                leave,
                bad_passes,
                good_loses,
            } => options.nest(NETEM_LOSS, |model| {
                model.attribute(NETEM_LOSS_BURSTS, &numbers(&[enter, leave, bad_passes, good_loses]))
            }),
        };
        if self.table.is_empty() {
            return options;
        }
        let table: Vec<u8> = self.table.iter().flat_map(|entry| entry.to_ne_bytes()).collect();
        options.attribute(NETEM_DELAY_TABLE, &table)
    }
}

/// `struct tcmsg`: family, padding, link, handle, parent, and for a filter its preference and protocol.
fn place(link: u32, handle: Handle, parent: Handle, info: u32) -> [u8; 20] {
    let mut part = [0; 20];
    part[4..].copy_from_slice(&numbers(&[link, handle.0, parent.0, info]));
    part
}

fn filter(preference: u16) -> u32 {
    u32::from(preference) << 16 | u32::from(ETHERTYPE_IPV4.to_be())
}

/// `struct tc_htb_opt`: rate, ceiling, their buckets, quantum, level, priority.
fn htb_class() -> Vec<u8> {
    let free = rate(FREE_BYTES_PER_S);
    let rest = [FREE_BUCKET, FREE_BUCKET, 4 * PACKET_BYTES, 0, 0];
    [&free[..], &free[..], &numbers(&rest)].concat()
}

/// `struct tc_ratespec`: cell, link layer, overhead, alignment, least size, bytes a second as far as they fit.
fn rate(bytes_per_s: u64) -> [u8; 12] {
    let mut part = [0; 12];
    part[1] = LINK_LAYER_ETHERNET;
    part[8..].copy_from_slice(&u32::try_from(bytes_per_s).unwrap_or(u32::MAX).to_ne_bytes());
    part
}

/// `struct tc_sizespec`: cell and size shifts, alignment, overhead, link layer, two sizes, number of entries. It makes all qdiscs below count
/// packets without the Ethernet header.
fn size_table() -> [u8; 24] {
    let mut part = [0; 24];
    part[4..8].copy_from_slice(&(-ETHERNET_HEADER).to_ne_bytes());
    part[8..12].copy_from_slice(&u32::from(LINK_LAYER_ETHERNET).to_ne_bytes());
    part
}

/// `struct tc_u32_sel` with one `struct tc_u32_key`: the source address, as a whole.
fn selector(source: Ipv4Addr) -> [u8; 32] {
    let mut part = [0; 32];
    (part[0], part[2]) = (U32_TERMINAL, 1);
    part[16..20].fill(0xff);
    part[20..24].copy_from_slice(&source.octets());
    part[24..28].copy_from_slice(&SOURCE.to_ne_bytes());
    part
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}
