//! The overlay: peers that are known beforehand reach each other, a cut below is a cut above, and packets are as large as VXLAN leaves room for.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use squall_nemeses::links::{AddressCuts, Links};
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::overlay::{OverlayEnd, VXLAN_MTU};
use squall_nemeses::netlink::wire::Message;
use squall_nemeses::partition::Cuts;
use squall_nemeses::probe::Prober;
use squall_nemeses::{Target, netns, program_folders};
use support::{Star, inside, skip};

const BOUND: Duration = Duration::from_secs(10);

/// The nodes of a star, by their addresses in an overlay above it; `None` where the kernel has no VXLAN.
fn overlaid(test: &str, star: &Star) -> Option<Vec<Target>> {
    let ends: Vec<OverlayEnd> = (1..)
        .zip(&star.targets)
        .map(|(number, target)| OverlayEnd {
            address: Ipv4Addr::new(100, 64, 0, number),
            underlay: target.address,
        })
        .collect();
    for (end, target) in ends.iter().zip(&star.targets) {
        let peers: Vec<OverlayEnd> = ends.iter().filter(|peer| *peer != end).copied().collect();
        let made = star.at(&target.id, || {
            let mut netlink = Netlink::open()?;
            let below = netlink.index("eth0")?;
            netlink.add_vxlan("vxlan0", below, 77, (*end, 16), &peers)
        });
        if let Err(error) = made {
            skip(test, &error.to_string());
            return None;
        }
    }
    let above = |(end, target): (&OverlayEnd, &Target)| Target {
        address: end.address,
        ..target.clone()
    };
    Some(ends.iter().zip(&star.targets).map(above).collect())
}

#[test]
fn a_cut_below_is_a_cut_above_and_nothing_else_is() {
    const TEST: &str = "a_cut_below_is_a_cut_above_and_nothing_else_is";
    inside(TEST, || {
        let star = Star::new(3);
        let Some(above) = overlaid(TEST, &star) else { return };
        let links = Links::open(&star.router, None, &program_folders()).unwrap();
        let mut prober = Prober::open(&above).unwrap();
        assert!(prober.prove(&Cuts::new(), BOUND).unwrap().ok);
        links.apply(&AddressCuts::from([(star.address("n1"), star.address("n3"))])).unwrap();
        let seen = prober.prove(&Cuts::from([("n1".into(), "n3".into())]), BOUND).unwrap();
        assert!(seen.ok, "{seen:?}");
        links.apply(&AddressCuts::new()).unwrap();
        assert!(prober.prove(&Cuts::new(), BOUND).unwrap().ok);
    });
}

#[test]
fn packets_are_as_large_as_the_header_leaves_room_for() {
    const TEST: &str = "packets_are_as_large_as_the_header_leaves_room_for";
    inside(TEST, || {
        let star = Star::new(2);
        let Some(above) = overlaid(TEST, &star) else { return };
        let mtu = netns::in_namespace(netns::open(&above[0].namespace).unwrap(), || {
            let request = Message::new(libc::RTM_GETLINK, 0).fixed(&[0; 16]).text(libc::IFLA_IFNAME, "vxlan0");
            let replies = Netlink::open().unwrap().request("look at vxlan0", request).unwrap();
            let mtu = replies[0].attributes(16).find(libc::IFLA_MTU).unwrap().to_vec();
            u32::from_ne_bytes(mtu.try_into().unwrap())
        });
        assert_eq!((mtu.unwrap(), VXLAN_MTU), (1450, 1450));
    });
}
