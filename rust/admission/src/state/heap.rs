//! An intrusive leftist heap: a priority queue whose links are fields of its elements.
//!
//! Insertion and removal of any element are O(log n) in the worst case, and nothing is allocated, as a lock
//! in shared memory needs. C. A. Crane, 1972.

use crate::kill_points;

/// The end of an intrusive list, the root of an empty heap.
pub(crate) const NONE: u32 = u32::MAX;

/// The links of one element; unused while it is in no heap.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    parent: u32,
    left: u32,
    right: u32,
    /// Length of the path of right children. It is never longer on the right than on the left.
    rank: u32,
}

impl Node {
    pub(crate) const ALONE: Node = Node { parent: NONE, left: NONE, right: NONE, rank: 1 };
}

/// Where the elements of a heap are stored, and which of two goes first.
pub(crate) trait Elements {
    fn node(&self, at: u32) -> &Node;
    fn node_mut(&mut self, at: u32) -> &mut Node;
    fn is_before(&self, one: u32, other: u32) -> bool;
}

pub(crate) fn insert(elements: &mut impl Elements, root: &mut u32, at: u32) {
    *elements.node_mut(at) = Node::ALONE;
    *root = merge(elements, *root, at);
}

pub(crate) fn remove(elements: &mut impl Elements, root: &mut u32, at: u32) {
    let Node { parent, left, right, .. } = *elements.node(at);
    let merged = merge(elements, left, right);
    if merged != NONE {
        elements.node_mut(merged).parent = parent;
    }
    if parent == NONE {
        *root = merged;
        return;
    }
    let above = elements.node_mut(parent);
    if above.left == at {
        above.left = merged;
    } else {
        above.right = merged;
    }
    // Ranks change on the way up until one stays: at most log n of them.
    let mut at = parent;
    while at != NONE && settle(elements, at) {
        at = elements.node(at).parent;
    }
}

fn merge(elements: &mut impl Elements, one: u32, other: u32) -> u32 {
    if one == NONE || other == NONE {
        return if one == NONE { other } else { one };
    }
    let (root, mut rest) = if elements.is_before(other, one) { (other, one) } else { (one, other) };
    let mut at = root;
    loop {
        let right = elements.node(at).right;
        let (first, second) = if right == NONE || elements.is_before(rest, right) {
            (rest, right)
        } else {
            (right, rest)
        };
        kill_points::point();
        elements.node_mut(at).right = first;
        elements.node_mut(first).parent = at;
        if second == NONE {
            break;
        }
        (at, rest) = (first, second);
    }
    loop {
        settle(elements, at);
        if at == root {
            break;
        }
        at = elements.node(at).parent;
    }
    elements.node_mut(root).parent = NONE;
    root
}

/// Puts the longer side to the left. Returns whether the rank has changed.
fn settle(elements: &mut impl Elements, at: u32) -> bool {
    let Node { left, right, rank: before, .. } = *elements.node(at);
    let rank_of = |child: u32| if child == NONE { 0 } else { elements.node(child).rank };
    let (left_rank, right_rank) = (rank_of(left), rank_of(right));
    let node = elements.node_mut(at);
    if left_rank < right_rank {
        (node.left, node.right) = (right, left);
    }
    node.rank = left_rank.min(right_rank) + 1;
    node.rank != before
}

#[cfg(test)]
mod tests {
    use super::{Elements, NONE, Node, insert, remove};
    use proptest::prelude::*;

    struct Numbers(Vec<(u64, Node)>);

    impl Elements for Numbers {
        fn node(&self, at: u32) -> &Node {
            &self.0[at as usize].1
        }
        fn node_mut(&mut self, at: u32) -> &mut Node {
            &mut self.0[at as usize].1
        }
        fn is_before(&self, one: u32, other: u32) -> bool {
            self.0[one as usize].0 < self.0[other as usize].0
        }
    }

    /// Checks order, parents and ranks below `at`; returns its rank.
    fn check(numbers: &Numbers, at: u32, parent: u32) -> u32 {
        if at == NONE {
            return 0;
        }
        let Node { parent: above, left, right, rank } = *numbers.node(at);
        assert_eq!(above, parent);
        assert!(parent == NONE || !numbers.is_before(at, parent));
        let (left, right) = (check(numbers, left, at), check(numbers, right, at));
        assert!(left >= right);
        assert_eq!(rank, right + 1);
        rank
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_list(ops in prop::collection::vec((any::<bool>(), 0u64..50, any::<prop::sample::Index>()), 1..200)) {
            let mut numbers = Numbers(Vec::new());
            let (mut root, mut inside) = (NONE, Vec::<u32>::new());
            for (add, key, which) in ops {
                if add || inside.is_empty() {
                    let at = numbers.0.len() as u32;
                    numbers.0.push((key, Node::ALONE));
                    insert(&mut numbers, &mut root, at);
                    inside.push(at);
                } else {
                    let at = inside.swap_remove(which.index(inside.len()));
                    remove(&mut numbers, &mut root, at);
                }
                check(&numbers, root, NONE);
                let least = inside.iter().map(|&at| numbers.0[at as usize].0).min();
                let found = (root != NONE).then(|| numbers.0[root as usize].0);
                prop_assert_eq!(found, least);
            }
        }
    }
}
