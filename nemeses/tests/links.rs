//! Every back end against the kernel: every shape of partition in a star of five namespaces, shown by full matrices.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use squall_nemeses::links::{AddressCuts, BackEnd, Links, detect};
use squall_nemeses::partition::{self, Cuts};
use squall_nemeses::probe::Prober;
use squall_nemeses::program_folders;
use support::{Star, inside, skip};

/// Long enough for a loaded machine; an idle one needs a few milliseconds.
const BOUND: Duration = Duration::from_secs(10);

fn addresses(star: &Star, cuts: &Cuts) -> AddressCuts {
    cuts.iter().map(|(from, to)| (star.address(from), star.address(to))).collect()
}

fn shapes(nodes: &[String]) -> Vec<(&'static str, Cuts)> {
    vec![
        ("halves", partition::halves(nodes)),
        ("majorities-ring", partition::majorities_ring(nodes)),
        ("bridge", partition::bridge(nodes)),
        ("one-way", partition::one_way(&nodes[1..2], nodes)),
        ("isolate-one", partition::isolate("n4", nodes)),
        ("cut-coordinator", partition::cut_coordinator("n5", &nodes[..3])),
    ]
}

fn open(test: &str, star: &Star, back_end: BackEnd) -> Option<Links> {
    match Links::open(&star.router, Some(back_end), &program_folders()) {
        Ok(links) => Some(links),
        Err(error) => {
            skip(test, &error.to_string());
            None
        }
    }
}

fn cuts_every_shape(test: &str, back_end: BackEnd) {
    inside(test, || {
        let star = Star::new(5);
        let Some(links) = open(test, &star, back_end) else { return };
        let mut prober = Prober::open(&star.targets).unwrap();
        let whole = prober.prove(&Cuts::new(), BOUND).unwrap();
        assert!(whole.ok, "{whole:?}");
        for (shape, cuts) in shapes(&star.ids()) {
            let applied = links.apply(&addresses(&star, &cuts)).unwrap();
            assert_eq!((applied.back_end, applied.n_cuts), (back_end, cuts.len()));
            let report = prober.prove(&cuts, BOUND).unwrap();
            assert!(report.ok, "{shape}: {report:?}");
            let matrix = prober.matrix(Duration::from_millis(20)).unwrap();
            let expected: BTreeSet<_> = partition::halves(&star.ids())
                .into_iter()
                .chain(all_pairs(&star))
                .filter(|pair| !cuts.contains(pair))
                .collect();
            assert_eq!(matrix.passed, expected, "{shape}:\n{matrix}");
            let standing = links.standing().unwrap();
            assert!(standing.keys().eq(addresses(&star, &cuts).iter()));
            assert!(
                standing
                    .values()
                    .all(|dropped| back_end == BackEnd::PolicyRules || dropped.is_some_and(|packets| packets >= 1)),
                "{standing:?}"
            );
            links.apply(&AddressCuts::new()).unwrap();
            let healed = prober.prove(&Cuts::new(), BOUND).unwrap();
            assert!(healed.ok, "{shape} healed: {healed:?}");
        }
    });
}

fn all_pairs(star: &Star) -> Cuts {
    let ids = star.ids();
    ids.iter()
        .flat_map(|from| ids.iter().map(|to| (from.clone(), to.clone())))
        .filter(|(from, to)| from != to)
        .collect()
}

#[test]
fn iptables_legacy_cuts_every_shape() {
    cuts_every_shape("iptables_legacy_cuts_every_shape", BackEnd::IptablesLegacy);
}

#[test]
fn iptables_nft_cuts_every_shape() {
    cuts_every_shape("iptables_nft_cuts_every_shape", BackEnd::IptablesNft);
}

#[test]
fn nftables_cuts_every_shape() {
    cuts_every_shape("nftables_cuts_every_shape", BackEnd::Nftables);
}

#[test]
fn policy_rules_cut_every_shape() {
    cuts_every_shape("policy_rules_cut_every_shape", BackEnd::PolicyRules);
}

/// Two sets take turns that both cut n1 -> n2; a flood over that pair must never find a gap.
fn leaves_no_gap_between_two_sets(test: &str, back_end: BackEnd) {
    inside(test, || {
        let star = Star::new(5);
        let Some(links) = open(test, &star, back_end) else { return };
        let nodes = star.ids();
        let sets = [partition::isolate("n1", &nodes), partition::halves(&nodes[..4])].map(|cuts| addresses(&star, &cuts));
        let flooded = (star.address("n1"), star.address("n2"));
        let receiver = star.at("n2", || UdpSocket::bind((flooded.1, 4000)).unwrap());
        receiver.set_nonblocking(true).unwrap();
        let sender = star.at("n1", || UdpSocket::bind((flooded.0, 0)).unwrap());
        let with_flooded: Vec<AddressCuts> = sets.iter().map(|cuts| cuts.iter().copied().chain([flooded]).collect()).collect();
        links.apply(&with_flooded[0]).unwrap();
        let (stop, n_sent) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    n_sent.fetch_add(u64::from(sender.send_to(b"flood", (flooded.1, 4000)).is_ok()), Ordering::Relaxed);
                }
            });
            for turn in 1..=100 {
                links.apply(&with_flooded[turn % 2]).unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(n_sent.load(Ordering::Relaxed) > 1000);
        let leak = receiver.recv_from(&mut [0; 8]).unwrap_err();
        assert_eq!(leak.kind(), ErrorKind::WouldBlock);
        links.apply(&AddressCuts::new()).unwrap();
        receiver.set_nonblocking(false).unwrap();
        receiver.set_read_timeout(Some(BOUND)).unwrap();
        sender.send_to(b"healed", (flooded.1, 4000)).unwrap();
        receiver.recv_from(&mut [0; 8]).unwrap();
    });
}

#[test]
fn iptables_legacy_leaves_no_gap_between_two_sets() {
    leaves_no_gap_between_two_sets("iptables_legacy_leaves_no_gap_between_two_sets", BackEnd::IptablesLegacy);
}

#[test]
fn iptables_nft_leaves_no_gap_between_two_sets() {
    leaves_no_gap_between_two_sets("iptables_nft_leaves_no_gap_between_two_sets", BackEnd::IptablesNft);
}

#[test]
fn nftables_leaves_no_gap_between_two_sets() {
    leaves_no_gap_between_two_sets("nftables_leaves_no_gap_between_two_sets", BackEnd::Nftables);
}

#[test]
fn policy_rules_leave_no_gap_between_two_sets() {
    leaves_no_gap_between_two_sets("policy_rules_leave_no_gap_between_two_sets", BackEnd::PolicyRules);
}

#[test]
fn an_established_connection_stalls_silently_and_goes_on_after_the_heal() {
    const NAME: &str = "an_established_connection_stalls_silently_and_goes_on_after_the_heal";
    inside(NAME, || {
        for back_end in BackEnd::OF_ROUTER {
            let star = Star::new(2);
            let Some(links) = open(NAME, &star, back_end) else { continue };
            let listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4000)).unwrap());
            let mut client = star.at("n1", || TcpStream::connect((star.address("n2"), 4000)).unwrap());
            let (mut server, _) = listener.accept().unwrap();
            server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            links.apply(&addresses(&star, &partition::isolate("n1", &star.ids()))).unwrap();
            client.write_all(b"during the cut").unwrap();
            let silence = server.read(&mut [0; 64]).unwrap_err();
            assert_eq!(
                silence.kind(),
                ErrorKind::WouldBlock,
                "{back_end}: a stall is neither end nor error"
            );
            links.apply(&AddressCuts::new()).unwrap();
            server.set_read_timeout(Some(BOUND)).unwrap();
            assert_eq!(server.read(&mut [0; 64]).unwrap(), b"during the cut".len(), "{back_end}");
        }
    });
}

#[test]
fn works_without_any_program() {
    inside("works_without_any_program", || {
        let star = Star::new(3);
        for found in detect(&[]).unwrap() {
            match found.back_end {
                BackEnd::IptablesLegacy | BackEnd::IptablesNft => {
                    assert!(found.outcome.unwrap_err().to_string().ends_with("is not installed"));
                }
                BackEnd::Nftables | BackEnd::PolicyRules | BackEnd::Switch => found.outcome.unwrap(),
            }
        }
        let links = Links::open(&star.router, None, &[]).unwrap();
        assert_eq!(links.back_end(), BackEnd::Nftables);
        assert_eq!(links.refused().len(), 2);
    });
}

#[test]
fn takes_the_best_that_works_and_says_why_not_a_better_one() {
    inside("takes_the_best_that_works_and_says_why_not_a_better_one", || {
        let star = Star::new(2);
        let detected = detect(&program_folders()).unwrap();
        let best = detected.iter().find(|found| found.outcome.is_ok()).unwrap().back_end;
        let links = Links::open(&star.router, None, &program_folders()).unwrap();
        assert_eq!(links.back_end(), best);
        let better: Vec<BackEnd> = BackEnd::OF_ROUTER.into_iter().filter(|&back_end| back_end < best).collect();
        assert!(links.refused().iter().map(|(back_end, _)| *back_end).eq(better));
    });
}

#[test]
fn opening_twice_leaves_one_set_of_rules() {
    inside("opening_twice_leaves_one_set_of_rules", || {
        for back_end in BackEnd::OF_ROUTER {
            let star = Star::new(2);
            let cuts = addresses(&star, &partition::isolate("n1", &star.ids()));
            for _ in 0..2 {
                let Some(links) = open("opening_twice_leaves_one_set_of_rules", &star, back_end) else {
                    break;
                };
                assert_eq!(links.standing().unwrap().len(), 0, "{back_end}: a new owner starts from nothing");
                links.apply(&cuts).unwrap();
            }
        }
    });
}

#[test]
fn a_large_cluster_gets_a_back_end_that_holds_all_its_cuts() {
    const NAME: &str = "a_large_cluster_gets_a_back_end_that_holds_all_its_cuts";
    inside(NAME, || {
        const N_NODES: u8 = 100;
        let node = |number: u8| std::net::Ipv4Addr::new(10, 9, 0, number);
        let pairs = (0..N_NODES)
            .flat_map(|from| (0..N_NODES).map(move |to| (from, to)))
            .filter(|(from, to)| from != to);
        let every_cut: AddressCuts = pairs.map(|(from, to)| (node(from), node(to))).collect();
        for (choice, folders) in [
            (None, program_folders()),
            (None, Vec::new()),
            (Some(BackEnd::PolicyRules), Vec::new()),
        ] {
            let star = Star::new(2);
            let links = Links::open_for(N_NODES, &star.router, choice, &folders).unwrap();
            for wanted in [&every_cut, &AddressCuts::new(), &every_cut] {
                let applied = links.apply(wanted).unwrap();
                assert!(links.standing().unwrap().keys().eq(wanted.iter()));
                println!(
                    "measured {}: {} cuts in {} us",
                    applied.back_end, applied.n_cuts, applied.duration_us
                );
            }
        }
    });
}

#[test]
fn the_probe_is_not_fooled() {
    inside("the_probe_is_not_fooled", || {
        let star = Star::new(3);
        let mut prober = Prober::open(&star.targets).unwrap();
        let bound = Duration::from_millis(100);
        let never_applied = prober.prove(&partition::isolate("n1", &star.ids()), bound).unwrap();
        assert!(!never_applied.ok);
        assert_eq!((never_applied.leaked.len(), never_applied.dead.len()), (4, 0), "{never_applied:?}");

        squall_nemeses::netns::in_namespace(&star.router, || {
            let mut netlink = squall_nemeses::netlink::Netlink::open().unwrap();
            let link = netlink.index("v-n3").unwrap();
            netlink.set_link(link, false).unwrap();
        })
        .unwrap();
        let start = Instant::now();
        let link_down = prober.prove(&Cuts::new(), bound).unwrap();
        assert!(!link_down.ok && start.elapsed() >= bound);
        let touches_n3 = |(from, to): &(String, String)| from == "n3" || to == "n3";
        assert!(
            link_down.leaked.is_empty() && link_down.dead.len() == 4 && link_down.dead.iter().all(touches_n3),
            "{link_down:?}"
        );
        let error = prober.prove(&Cuts::from([("n1".into(), "n9".into())]), bound).unwrap_err();
        assert_eq!(error.to_string(), "no node is called `n9`");
    });
}
