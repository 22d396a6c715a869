//! Queueing disciplines, each set on the loopback interface of an own network namespace. Formats: `include/uapi/linux/pkt_sched.h`.

use nix::sched::CloneFlags;
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::wire::Message;

use super::{Failure, enter};

const TC_H_ROOT: u32 = 0xffff_ffff;
const TC_H_CLSACT: u32 = 0xffff_fff1;

/// It must not exist yet.
const NEW: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// 1 Mbit/s, in bytes per second.
const RATE_BYTES_PER_S: u32 = 125_000;

pub(super) fn netem() -> Result<String, Failure> {
    // struct tc_netem_qopt: latency, limit, loss, gap, duplicate, jitter.
    let options: Vec<u8> = [1000u32, 1000, 0, 0, 0, 0].iter().flat_map(|value| value.to_ne_bytes()).collect();
    add_qdisc("netem", TC_H_ROOT, 0, |message| message.attribute(libc::TCA_OPTIONS, &options))
}

pub(super) fn tbf() -> Result<String, Failure> {
    const TCA_TBF_PARMS: u16 = 1;
    const TCA_TBF_BURST: u16 = 6;
    // struct tc_ratespec: cell_log, linklayer (1 = Ethernet: the kernel then wants no rate table), overhead, cell_align, mpu, rate.
    let rate = [&[0u8, 1, 0, 0, 0, 0, 0, 0][..], &RATE_BYTES_PER_S.to_ne_bytes()].concat();
    let no_peak = [0u8; 12];
    // limit 10 000 bytes, buffer and mtu given by the burst.
    let rest: Vec<u8> = [10_000u32, 0, 0].iter().flat_map(|value| value.to_ne_bytes()).collect();
    let parameters = [rate, no_peak.to_vec(), rest].concat();
    add_qdisc("tbf", TC_H_ROOT, 0, |message| {
        message.nest(libc::TCA_OPTIONS, |options| {
            options
                .attribute(TCA_TBF_PARMS, &parameters)
                .attribute(TCA_TBF_BURST, &10_000u32.to_ne_bytes())
        })
    })
}

pub(super) fn htb() -> Result<String, Failure> {
    const TCA_HTB_INIT: u16 = 2;
    // struct tc_htb_glob: version, rate2quantum, default class, debug, direct packets.
    let global: Vec<u8> = [3u32, 10, 0, 0, 0].iter().flat_map(|value| value.to_ne_bytes()).collect();
    add_qdisc("htb", TC_H_ROOT, 0x0001_0000, |message| {
        message.nest(libc::TCA_OPTIONS, |options| options.attribute(TCA_HTB_INIT, &global))
    })
}

pub(super) fn clsact() -> Result<String, Failure> {
    add_qdisc("clsact", TC_H_CLSACT, TC_H_CLSACT & 0xffff_0000, |message| message)
}

fn add_qdisc(kind: &str, parent: u32, handle: u32, options: impl FnOnce(Message) -> Message) -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET)?;
    let mut netlink = Netlink::open()?;
    // struct tcmsg: family and padding, interface index, handle, parent, info.
    let fields = [0, netlink.index("lo")?, handle, parent, 0];
    let header: Vec<u8> = fields.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let request = Message::new(libc::RTM_NEWQDISC, NEW).fixed(&header).text(libc::TCA_KIND, kind);
    netlink.request(&format!("add qdisc {kind}"), options(request))?;
    Ok(String::new())
}
