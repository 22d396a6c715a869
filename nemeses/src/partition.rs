//! Partitions as sets of directed pairs: which node's packets no longer reach which other.
//!
//! Pure: names in, pairs out. Only links between nodes are cut; clients reach everything.

use std::collections::BTreeSet;

/// Directed pairs (from, to): packets of `from` do not reach `to`.
pub type Cuts = BTreeSet<(String, String)>;

/// The first half (the smaller one) and the rest do not see each other.
#[must_use]
pub fn halves(order: &[String]) -> Cuts {
    let (few, many) = order.split_at(order.len() / 2);
    both_ways(few, many)
}

/// Every node sees a majority, and no two see the same one: the nodes stand in a ring in the given order and see their nearest neighbours,
/// as few as make a majority.
///
/// Exact wherever such a ring exists. With 3, 7, 11 … nodes it would need an odd number of neighbours for an odd number of nodes:
/// three nodes become a line (its middle sees both), more see one node beyond the majority. Fewer than three nodes cannot: no cuts.
#[must_use]
pub fn majorities_ring(order: &[String]) -> Cuts {
    let n = order.len();
    if n < 3 {
        return Cuts::new();
    }
    if n == 3 {
        return both_ways(&order[..1], &order[2..]);
    }
    let n_neighbours = n / 2;
    let (reach, opposite) = match (n_neighbours % 2 == 1, n.is_multiple_of(2)) {
        (false, _) => (n_neighbours / 2, false),
        (true, true) => (n_neighbours / 2, true),
        (true, false) => (n_neighbours.div_ceil(2), false),
    };
    let sees = |a: usize, b: usize| {
        let apart = a.abs_diff(b);
        apart.min(n - apart) <= reach || (opposite && apart == n / 2)
    };
    pairs(order)
        .filter(|&(a, b)| !sees(a, b))
        .map(|(a, b)| (order[a].clone(), order[b].clone()))
        .collect()
}

/// Two halves that do not see each other, and a bridge, the first in the order, that sees both.
#[must_use]
pub fn bridge(order: &[String]) -> Cuts {
    order.split_first().map(|(_, rest)| halves(rest)).unwrap_or_default()
}

/// Nobody else hears the nodes in `muted`; they hear everybody.
#[must_use]
pub fn one_way(muted: &[String], nodes: &[String]) -> Cuts {
    let (silent, others): (Vec<String>, Vec<String>) = nodes.iter().cloned().partition(|node| muted.contains(node));
    one_direction(&silent, &others)
}

/// One node sees nobody and is seen by nobody.
#[must_use]
pub fn isolate(node: &str, nodes: &[String]) -> Cuts {
    let others: Vec<String> = nodes.iter().filter(|other| *other != node).cloned().collect();
    both_ways(&[node.to_string()], &others)
}

/// A coordinator is cut, both ways, from a majority of a key's replicas: the first of them in the given order. It keeps the others and
/// itself, so it can still answer a read or a write that needs too few.
#[must_use]
pub fn cut_coordinator(coordinator: &str, replicas: &[String]) -> Cuts {
    let n_majority = replicas.len() / 2 + 1;
    let lost: Vec<String> = replicas
        .iter()
        .filter(|replica| *replica != coordinator)
        .take(n_majority)
        .cloned()
        .collect();
    both_ways(&[coordinator.to_string()], &lost)
}

fn both_ways(left: &[String], right: &[String]) -> Cuts {
    let mut cuts = one_direction(left, right);
    cuts.extend(one_direction(right, left));
    cuts
}

fn one_direction(from: &[String], to: &[String]) -> Cuts {
    from.iter()
        .flat_map(|from| to.iter().map(move |to| (from.clone(), to.clone())))
        .collect()
}

fn pairs(order: &[String]) -> impl Iterator<Item = (usize, usize)> {
    let n = order.len();
    (0..n).flat_map(move |a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(n: usize) -> Vec<String> {
        (1..=n).map(|number| format!("n{number}")).collect()
    }

    /// One line per sender: `#` itself, `.` passes, `x` cut.
    fn picture(order: &[String], cuts: &Cuts) -> String {
        let cell = |from: &String, to: &String| match cuts.contains(&(from.clone(), to.clone())) {
            _ if from == to => '#',
            true => 'x',
            false => '.',
        };
        order
            .iter()
            .map(|from| order.iter().map(|to| cell(from, to)).collect::<String>())
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn visible(node: &str, order: &[String], cuts: &Cuts) -> BTreeSet<String> {
        let sees = |other: &&String| *other == node || !cuts.contains(&(node.to_string(), (*other).clone()));
        order.iter().filter(sees).cloned().collect()
    }

    fn is_symmetric(cuts: &Cuts) -> bool {
        cuts.iter().all(|(from, to)| cuts.contains(&(to.clone(), from.clone())))
    }

    #[test]
    fn halves_of_five_are_two_and_three() {
        insta::assert_snapshot!(picture(&nodes(5), &halves(&nodes(5))), @r"
        #.xxx
        .#xxx
        xx#..
        xx.#.
        xx..#
        ");
    }

    #[test]
    fn a_ring_of_five_sees_both_neighbours() {
        insta::assert_snapshot!(picture(&nodes(5), &majorities_ring(&nodes(5))), @r"
        #.xx.
        .#.xx
        x.#.x
        xx.#.
        .xx.#
        ");
    }

    #[test]
    fn a_ring_of_three_is_a_line() {
        insta::assert_snapshot!(picture(&nodes(3), &majorities_ring(&nodes(3))), @r"
        #.x
        .#.
        x.#
        ");
    }

    #[test]
    fn a_bridge_of_five_sees_both_halves() {
        insta::assert_snapshot!(picture(&nodes(5), &bridge(&nodes(5))), @r"
        #....
        .#.xx
        ..#xx
        .xx#.
        .xx.#
        ");
    }

    #[test]
    fn a_muted_node_hears_everybody() {
        insta::assert_snapshot!(picture(&nodes(5), &one_way(&nodes(5)[1..3], &nodes(5))), @r"
        #....
        x#.xx
        x.#xx
        ...#.
        ....#
        ");
    }

    #[test]
    fn an_isolated_node_sees_nobody() {
        insta::assert_snapshot!(picture(&nodes(5), &isolate("n2", &nodes(5))), @r"
        #x...
        x#xxx
        .x#..
        .x.#.
        .x..#
        ");
    }

    #[test]
    fn a_coordinator_loses_a_majority_of_the_replicas() {
        let replicas = &nodes(5)[1..4];
        // Not a replica: it loses two of three and keeps the last.
        insta::assert_snapshot!(picture(&nodes(5), &cut_coordinator("n5", replicas)), @r"
        #....
        .#..x
        ..#.x
        ...#.
        .xx.#
        ");
        // A replica itself: it loses the two others.
        insta::assert_snapshot!(picture(&nodes(5), &cut_coordinator("n3", replicas)), @r"
        #....
        .#x..
        .x#x.
        ..x#.
        ....#
        ");
    }

    #[test]
    fn every_ring_gives_every_node_a_majority_and_no_two_the_same() {
        for n in 3..=31 {
            let order = nodes(n);
            let cuts = majorities_ring(&order);
            assert!(is_symmetric(&cuts), "{n}");
            let seen: BTreeSet<_> = order.iter().map(|node| visible(node, &order, &cuts)).collect();
            assert_eq!(seen.len(), n, "two of {n} nodes see the same set");
            let exact = n / 2 + 1;
            let spare = usize::from(n % 4 == 3);
            assert!(seen.iter().all(|set| (exact..=exact + spare).contains(&set.len())), "{n}: {seen:?}");
        }
    }

    #[test]
    fn no_shape_cuts_a_node_from_itself_or_from_strangers() {
        for n in 0..=9 {
            let order = nodes(n);
            let first = order.first().map_or("n1", String::as_str);
            let shapes = [
                halves(&order),
                majorities_ring(&order),
                bridge(&order),
                isolate(first, &order),
                cut_coordinator(first, &order),
                one_way(&order[..n / 3], &order),
            ];
            for cuts in &shapes {
                assert!(cuts.iter().all(|(from, to)| from != to));
                assert!(cuts.iter().all(|(from, to)| order.contains(from) && order.contains(to)) || n == 0);
            }
            assert!(shapes[..5].iter().all(is_symmetric));
        }
    }
}
